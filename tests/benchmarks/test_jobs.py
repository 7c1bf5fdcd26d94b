"""Times and memory of commands, and their row."""

import pytest
from joblib import cpu_count

from benchmarks import jobs


def test_memory_and_time_are_those_of_the_command_not_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "hold.py").write_text('held = b"x" * (300 << 20)\nimport time\ntime.sleep(3)\n')
    (tmp_path / "idle.py").write_text("import time\ntime.sleep(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (seconds, busy, held), (_, _, idle) = (jobs.timed([name]) for name in ("hold", "idle"))
    assert 0 < busy < 3 < seconds
    assert idle < 100 < held - idle


def test_a_command_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match=r"python -m no\.such ended with 1"):
        jobs.timed(["no.such"])


def test_a_row_by_hand():
    job = jobs.Job("n", [], [], cold=[3, 1, 2], folder=[8], processor=[4], memory=[512])
    row = jobs.row(job, {"warm": [0.5, 0.25, 1], "operations": 3e10, "views": "v"}, 4)
    busy = f"{50 / cpu_count():.0f}"
    assert list(row.values()) == ["n", "v", "30", "2.00", "0.500", "8.0", "0.50", busy, "512"]
