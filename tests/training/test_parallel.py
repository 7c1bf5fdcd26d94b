"""Work in many processes: results, processes that are killed, progress."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from joblib import cpu_count
from tqdm import tqdm

from fstcn_keras.files import atomic_write_text
from tests.processes import HANG_S
from training import parallel
from training.parallel import LastingProcess, map_processes


def attempt(job: tuple[Path, int, str]) -> tuple[int, int]:
    """Notes that it was called; kills its process where the job says so."""
    folder, number, fate = job
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    attempts = len(list(folder.glob(f"{number}-*")))
    if fate == "killed" or (fate == "killed once" and attempts == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "exit":
        os._exit(9)
    if fate == "error":
        raise ValueError(f"job {number}")
    if fate == "slow":
        atomic_write_text(folder / "pid", str(os.getpid()))
        time.sleep(3600)
    return number, os.getpid()


def run(folder: Path, *, fates: dict[int, str], count: int = 12) -> list[tuple[int, int]]:
    jobs = [(folder, number, fates.get(number, "")) for number in range(count)]
    return list(
        map_processes(attempt, jobs, killed=lambda job: (job[1], -1), description="testing")
    )


def test_a_killed_process_costs_its_job_alone(tmp_path):
    results = run(tmp_path, fates={3: "killed", 7: "exit", 9: "killed once"})
    assert sorted(number for number, _ in results) == list(range(12))
    assert {number for number, pid in results if pid == -1} == {3, 7}
    attempts = [file.name.split("-")[0] for file in tmp_path.iterdir()]
    twice = [number for number in range(12) if attempts.count(str(number)) == 2]
    assert (twice, len(attempts)) == ([3, 7, 9], 12 + 3)
    # three deaths, then the three once more in one process that dies twice
    assert len({pid for _, pid in results} - {-1}) <= cpu_count() + 3 + 3


def test_an_error_of_a_job_ends_the_other_processes(tmp_path):
    jobs = [(tmp_path, 0, "slow"), (tmp_path, 1, "late error")]
    with pytest.raises(ValueError, match="job 1"):
        list(map_processes(attempt_after_pid, jobs, killed=print, description="testing"))
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_lasting_process_works_ahead_and_costs_its_job_alone(tmp_path):
    fates = {2: "killed once", 4: "killed"}
    jobs = [(tmp_path, number, fates.get(number, "")) for number in range(6)]
    with closing(LastingProcess()) as process:
        process.start()
        results = process.map(attempt, jobs, killed=lambda job: (job[1], -1))
        begun = [next(results)]
        limit = time.monotonic() + HANG_S
        while not list(tmp_path.glob("1-*")):  # nobody has asked for it yet
            assert time.monotonic() < limit
            time.sleep(0.01)
        found = [*begun, *results]
    assert [number for number, _ in found] == list(range(6))
    assert [number for number, pid in found if pid == -1] == [4]
    assert len(list(tmp_path.glob("4-*"))) == 3


def test_a_lasting_process_that_died_leaves_no_file_open(tmp_path):
    open_files = []
    with closing(LastingProcess()) as process:
        for fate in ("", "exit", ""):
            list(process.map(attempt, [(tmp_path, 0, fate)], killed=str))
            open_files.append(psutil.Process().num_fds())
    before, _, after = open_files
    assert after == before


def test_processes_that_died_leave_no_file_open(tmp_path):
    open_files = []
    for fates in ({}, dict.fromkeys(range(3), "exit")):
        folder = tmp_path / str(len(fates))
        folder.mkdir()
        jobs = [(folder, number, fates.get(number, "")) for number in range(3)]
        finished = map_processes(attempt, jobs, killed=str, description="testing")
        open_files.append(max(psutil.Process().num_fds() for _ in finished))
    assert open_files[1] <= open_files[0]


def mask(job: int) -> set[int]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ctrl_c_is_for_the_process_that_waits_from_the_start_on():
    """A process that Ctrl-C reaches while it imports would print its stack."""
    before = mask(0)
    with closing(LastingProcess()) as process:
        (mask_there,) = process.map(mask, [0], killed=print)
    assert signal.SIGINT in mask_there
    assert mask(0) == before == set()


def attempt_after_pid(job: tuple[Path, int, str]) -> tuple[int, int]:
    folder, number, fate = job
    while fate == "late error" and not (folder / "pid").exists():
        time.sleep(0.01)
    return attempt((folder, number, fate.removeprefix("late ")))


def heavy_modules(job: int) -> list[str]:
    return sorted({"keras", "tensorflow"} & sys.modules.keys())


def test_processes_carry_neither_keras_nor_tensorflow():
    found = map_processes(heavy_modules, range(3), killed=print, description="testing")
    assert list(found) == [[], [], []]


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = (
        "import pathlib, sys; from tests.training.test_parallel import attempt; "
        "from training.parallel import map_processes; "
        "jobs = [(pathlib.Path(sys.argv[1]), 0, 'slow')]; "
        "list(map_processes(attempt, jobs, killed=print, description='testing'))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)
    while not (tmp_path / "pid").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=HANG_S)  # standard error is open for as long as a child lives


def test_without_jobs_nothing_is_started(tmp_path):
    assert run(tmp_path, fates={}, count=0) == []


def watched_jobs(monkeypatch, number: int, each_s: float = 0.25) -> Iterator[int]:
    """The results of jobs of so many seconds each, by a clock that is not waited for."""
    seconds = 0.0

    def results():
        nonlocal seconds
        for one in range(number):
            seconds += each_s
            yield one

    monkeypatch.setattr("tqdm.std.time", lambda: seconds)
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: seconds))
    return parallel.with_progress(results(), total=number, description="testing", unit="video")


def test_a_log_gets_a_line_every_ten_seconds_and_messages_alone(monkeypatch, capsys):
    for number in watched_jobs(monkeypatch, 100):
        if number in (0, 50, 99):
            tqdm.write(f"error: {number}", file=sys.stderr)
    assert capsys.readouterr().err.split("\n") == [
        "error: 0",
        "testing: 40/100,  4.00video/s, 00:15 left",
        "error: 50",
        "testing: 80/100,  4.00video/s, 00:05 left",
        "error: 99",
        "",
    ]


def test_jobs_that_take_long_are_told_of_by_their_seconds(monkeypatch, capsys):
    assert [*watched_jobs(monkeypatch, 3, each_s=20.0)] == [0, 1, 2]
    assert capsys.readouterr().err.splitlines()[1] == "testing: 2/3, 20.00s/video, 00:20 left"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    assert [*watched_jobs(monkeypatch, 20)] == [*range(20)]
    assert re.search(r"testing: .*8/20 \[00:02<00:03,  4\.00video/s\]", sys.stderr.getvalue())
