"""How long heads are trained until they are right, and what the seconds are of."""

import os
import time

from benchmarks import learning
from training.data.cache import cache_folder


def test_passes_are_doubled_until_half_is_right():
    asked = []

    def learn(passes: int) -> float:
        asked.append(passes)
        end = time.process_time() + 0.02 * passes  # works for so long
        while time.process_time() < end:
            pass
        return min(1.0, passes / 10)

    passes, right, seconds = learning.until_right(learn)
    assert asked == [1, 2, 4, 8]
    assert (passes, right) == (8, 0.8)
    assert 0.16 <= seconds < 0.3  # of the last time alone: of all together at least 0.3


def test_a_head_that_never_gets_there_ends():
    assert learning.until_right(lambda passes: 0.4)[:2] == (learning.MAX_PASSES, 0.4)


def test_a_row_by_hand():
    row = learning.row("n", 100.0, 4, 0.5125, 12.34)
    assert list(row.values()) == ["n", 4, "51.2", "100", "12.3", "112"]


def test_nothing_is_taken_from_the_cache_of_before(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/before")
    with learning.own_cache() as folder:
        assert cache_folder().parent == folder
    assert os.environ["XDG_CACHE_HOME"] == "/before"
    assert not folder.exists()
