"""The command of several workers: a worker that is killed and comes back costs nothing."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import HANG_S, start_python
from tests.training.runs import assert_same_runs, fit_arguments
from tests.training.test_cli import error_of
from tests.training.test_distribution import free_ports
from tests.videos import write_noise_folder
from training import fit
from training.cluster import Cluster
from training.errors import UserError
from training.options import FitOptions

STEPS = 8
LAST = f"global-{STEPS:08d}"
LOST = "a worker was lost: this one ends with code 75"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise_folder(tmp_path_factory.mktemp("data"), 12)


class Job:
    """Workers of one run on this machine, with stores of their own; the first may be a chief.

    A worker that has lost another one is started again, as a scheduler does.
    """

    def __init__(self, data: Path, run: Path, *more: str, size: int = 2, chief: bool = False):
        self.run = run
        self._more = more
        self._data = data
        addresses = [f"127.0.0.1:{port}" for port in free_ports(size)]
        self._cluster = {"chief": addresses[:1]} if chief else {}
        self._cluster["worker"] = addresses[len(self._cluster) :]
        counts = {kind: len(addresses) for kind, addresses in self._cluster.items()}
        self._tasks = [{"type": kind, "index": n} for kind in counts for n in range(counts[kind])]
        self.workers = [self._start(number) for number in range(size)]
        self._before = [""] * size  # what workers that ended had printed
        self.lost: list[int] = []  # exit codes of workers that lost another one

    def _start(self, number: int) -> subprocess.Popen:
        config = {"cluster": self._cluster, "task": self._tasks[number]}
        store = self._data.parent / f"store{number}"
        options = ("--paths", "temporal", "--epochs", str(STEPS // 2), "--checkpoint-minutes", "0")
        more = ("--store", str(store), *options, *self._more)
        command = ("-m", "training.fit", *fit_arguments(self._data, self.run, *more))
        return start_python(*command, stderr=subprocess.STDOUT, TF_CONFIG=json.dumps(config))

    def stop(self, index: int, number: signal.Signals, *, after_step: int) -> str:
        """Ends one worker, starts it again and gives what it had printed."""
        deadline = time.monotonic() + HANG_S
        while self.newest_step() < after_step:
            assert time.monotonic() < deadline
            self._start_lost_again()
            time.sleep(0.02)
        worker = self.workers[index]
        worker.send_signal(number)
        output = worker.communicate(timeout=HANG_S)[0]
        assert worker.returncode == (143 if number == signal.SIGTERM else -number), output
        self.workers[index] = self._start(index)
        return self._before[index] + output

    def _start_lost_again(self):
        for index, worker in enumerate(self.workers):
            if worker.poll() not in (None, 0):
                output = worker.communicate()[0]
                assert worker.returncode in (75, -signal.SIGABRT), output
                self.lost.append(worker.returncode)
                self._before[index] += output
                self.workers[index] = self._start(index)

    def newest_step(self) -> int:
        files = (self.run / "checkpoints").glob("global-*.npz")
        return max((int(file.stem.rpartition("-")[2]) for file in files), default=0)

    def outputs(self) -> list[str]:
        deadline = time.monotonic() + HANG_S
        while any(worker.poll() is None for worker in self.workers):
            if time.monotonic() > deadline:
                for worker in self.workers:
                    worker.kill()
            self._start_lost_again()
            time.sleep(0.1)
        ends = [worker.communicate()[0] for worker in self.workers]
        assert {worker.returncode for worker in self.workers} == {0}, "\n".join(ends)
        return [before + end for before, end in zip(self._before, ends, strict=True)]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    job = Job(data, tmp_path_factory.mktemp("runs") / "whole")
    first, second = job.outputs()
    assert "on 2 CPUs of 2 workers" in first
    assert f"results in {job.run}\n" in first
    assert "epoch" not in second.replace("epochs", "")
    return job.run


@pytest.mark.slow
def test_lost_workers_come_back_to_the_same_weights(data, whole, tmp_path):
    job = Job(data, tmp_path / "run")
    job.stop(1, signal.SIGKILL, after_step=2)
    assert LOST in job.stop(0, signal.SIGKILL, after_step=5)
    assert LOST in job.outputs()[1]
    assert_same_runs(whole, job.run, LAST)


@pytest.mark.slow
def test_a_stopped_worker_has_the_first_one_save(data, whole, tmp_path):
    job = Job(data, tmp_path / "run", "--checkpoint-minutes", "100")
    job.stop(1, signal.SIGTERM, after_step=2)
    first = job.outputs()[0]
    assert LOST in first
    assert "WorkerLost: one was stopped after step" in first
    assert job.lost == [75]
    assert_same_runs(whole, job.run, LAST)


@pytest.mark.slow
def test_a_chief_and_two_workers_go_on_after_a_loss(data, tmp_path):
    more = ("--batch-size", "6")
    undisturbed = Job(data, tmp_path / "undisturbed", *more, size=3, chief=True)
    assert "on 3 CPUs of 3 workers" in undisturbed.outputs()[0]
    job = Job(data, tmp_path / "run", *more, size=3, chief=True)
    job.stop(2, signal.SIGKILL, after_step=2)
    job.outputs()
    assert_same_runs(undisturbed.run, job.run, LAST)


@pytest.mark.slow
def test_all_splits_one_after_another(data, tmp_path):
    job = Job(data, tmp_path / "run", "--split", "all", "--epochs", "1")
    job.outputs()
    top1 = []
    for split in (1, 2, 3):
        with np.load(job.run / f"split{split}" / "scores.npz") as run:
            answers = run["scores"].mean(axis=(1, 2)).argmax(axis=-1)
            top1.append((answers == run["labels"]).mean())
    mean = json.loads((job.run / "splits.json").read_text())["mean"]
    assert mean["video"]["average"]["top1"] == pytest.approx(np.mean(top1), abs=1e-9)


def config(cluster, kind="worker", index=0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_cluster_of_a_chief_and_workers(monkeypatch):
    jobs = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    monkeypatch.setenv("TF_CONFIG", config(jobs, "worker", 1))
    assert Cluster.from_environment() == Cluster(addresses=("a:1", "b:2", "c:3"), number=2)
    monkeypatch.setenv("TF_CONFIG", config(jobs, "chief", 0))
    assert Cluster.from_environment().number == 0
    monkeypatch.setenv("TF_CONFIG", "")
    assert Cluster.from_environment() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"cluster": {"worker": ["a:1"]}}', "KeyError: 'task'"),
        (config({"worker": ["a:1"]}, "ps"), "of type 'ps', the cluster has \\['worker'\\]"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), "workers and one chief, nothing else"),
        (config({"worker": ["a:1"]}, index=1), r"index of a worker must be in 0..0"),
        (config({"worker": ["a:1"]}, index="0"), r"index of a worker must be in 0..0"),
        (config({"worker": ["a"]}), "every address must be HOST:PORT"),
    ],
)
def test_wrong_configurations(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"TF_CONFIG is wrong: .*{message}.*expected.*got"):
        Cluster.from_environment()


def test_a_wrong_configuration_ends_with_one_line_and_code_2(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    error = error_of(capsys, fit.main, FitOptions, "--out", tmp_path / "run")
    assert error.startswith("error: TF_CONFIG is wrong: KeyError")
