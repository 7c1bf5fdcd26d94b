import pytest

from benchmarks.live import Answer, growth, real_time, watched
from benchmarks.samples import coarse_video, random_run

MB = 2**20


def answers(*times: float) -> list[Answer]:
    """One of each second; the memory grows by a megabyte with each."""
    return [
        Answer({"end_s": n + 1, "delay_s": 0.25, "dropped_frames": n}, after_s, (100 + n) * MB)
        for n, after_s in enumerate(times)
    ]


def values(rows: list[dict]) -> list[str]:
    return [row["value"] for row in rows]


def test_delays_count_from_the_end_of_each_second():
    rows = real_time(answers(1.5, 2.75, 4), 4)
    assert values(rows) == ["4", "3", "2", "0.75", "0.995", "0.25"]


def test_memory_after_a_tenth_and_at_the_end():
    rows = growth(answers(*range(20)), 500, 3.0)  # 2 s at 250 frames a second
    assert values(rows) == ["500", "19", "102", "119", "1.5"]


@pytest.mark.slow
def test_a_stream_of_three_seconds(tmp_path):
    run = random_run(tmp_path / "run", num_classes=2)
    loop = coarse_video(tmp_path / "loop.ts", num_frames=50, square=4)
    found, processor_s = watched(run, loop, fps=25, num_frames=75)
    assert [answer.found["end_s"] for answer in found] == pytest.approx([1, 2, 3])
    assert all(answer.after_s > answer.found["end_s"] for answer in found)
    assert processor_s > 0
