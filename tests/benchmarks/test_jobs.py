"""Times and memory of commands, and their row."""

import pytest

from benchmarks import jobs

pytest.importorskip("psutil", reason="psutil comes with the extra `serve`")


def test_memory_is_that_of_the_command_not_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "hold.py").write_text('held = b"x" * (300 << 20)\nimport time\ntime.sleep(3)\n')
    (tmp_path / "idle.py").write_text("import time\ntime.sleep(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (seconds, held), (_, idle) = (jobs.timed([name]) for name in ("hold", "idle"))
    assert seconds > 3
    assert idle < 100 < held - idle


def test_a_command_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match=r"python -m no\.such ended with 1"):
        jobs.timed(["no.such"])


def test_a_row_by_hand():
    job = jobs.Job("n", [], [], cold=[3, 1, 2], folder=[8], memory=[512])
    row = jobs.row(job, {"warm": [0.5, 0.25, 1], "operations": 3e10, "views": "v"}, 4)
    assert list(row.values()) == ["n", "v", "30", "2.00", "0.500", "8.0", "0.50", "512"]
