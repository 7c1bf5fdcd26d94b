"""An evaluation that is stopped goes on with what it has."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from training import partial_scores

PATHS = ["a", "b", "c"]
scored = functools.partial(partial_scores.scored, description="scoring")


def score(paths: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    return ((path, np.full((2, 3), ord(path), float)) for path in paths)


@pytest.mark.parametrize(("key", "again"), [("one", ["c"]), ("two", PATHS)])
def test_a_stopped_evaluation_goes_on_with_the_same_network_alone(tmp_path, key, again):
    def stopped(paths):
        yield from score(paths[:2])
        raise KeyboardInterrupt

    file, asked = tmp_path / "partial.npz", []
    with pytest.raises(KeyboardInterrupt):
        scored(PATHS, stopped, file=file, key="one")

    def counted(paths):
        asked.extend(paths)
        return score(paths[::-1])

    found = scored(PATHS, counted, file=file, key=key)
    assert asked == again
    np.testing.assert_array_equal(found, np.stack([views for _, views in score(PATHS)]))


def test_what_was_said_of_another_file_of_the_path_does_not_count(tmp_path):
    file, asked = tmp_path / "kept.npz", []
    versions = {"a": "one", "b": "two", "c": "three"}
    scored(PATHS, score, file=file, key="one", versions=versions, keep=True)

    def counted(paths):
        asked.extend(paths)
        return score(paths)

    scored(PATHS, counted, file=file, key="one", versions=versions | {"b": "four"}, keep=True)
    assert asked == ["b"]
    scored(PATHS, counted, file=file, key="one", versions=versions | {"b": "four"})
    assert asked == ["b"]
    assert [*partial_scores.read_scored(file)] == ["a", "c", "b"]
    assert [*partial_scores.read_scored(file, "one", versions)] == ["a", "c"]


def test_a_file_that_knows_no_versions_can_be_read(tmp_path):
    np.savez(tmp_path / "old.npz", key="one", paths=["a"], scores=np.zeros((1, 2)))
    assert [*partial_scores.read_scored(tmp_path / "old.npz", "one")] == ["a"]
    assert partial_scores.read_scored(tmp_path / "old.npz", "one", {"a": "hash"}) == {}


def test_a_damaged_file_is_made_anew(tmp_path):
    file = tmp_path / "partial.npz"
    file.write_bytes(b"PK\x03\x04 cut off")
    assert scored(PATHS, score, file=file, key="one").shape == (3, 2, 3)


def test_what_is_done_is_saved_every_minute(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 61))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    file = tmp_path / "partial.npz"
    scored(["a", "b"], score, file=file, key="one")
    with np.load(file) as arrays:
        assert arrays["paths"].tolist() == ["a", "b"]
