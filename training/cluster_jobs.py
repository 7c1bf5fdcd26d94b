"""Long jobs on a cluster: side by side, or each by several workers at a time."""

import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

from training.errors import UserError
from training.on_cluster import (
    MAX_RETRIES,
    Work,
    do,
    packed,
    ray_package,
    result,
    tell_lost,
)

Job = Callable[[Any], None]


def run_apart(function: Job, jobs: Sequence, *, logs: Sequence[Path]):
    """Does jobs side by side, where there is room: each on a node, or a GPU, of its own.

    One whose node is lost starts again elsewhere: it must go on where it was. What it prints goes
    to its log, and from there to the output, once a second.

    Args:
        function: what to do; it and the jobs are sent between machines.
        jobs: what to do it with.
        logs: a file for each job, which all machines see.

    Raises:
        UserError: the first that a job raises, or if one loses one process after another.
    """
    ray = ray_package()
    cores, gpus = _needs(ray)
    task = ray.remote(num_cpus=cores, num_gpus=gpus, max_calls=1, max_retries=MAX_RETRIES)(_log)
    watch, running = _Watch(ray, logs), set()
    for job, log in zip(jobs, watch.logs, strict=True):
        running.add(task.remote(_work(function, job, log), log))
    try:
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=1)
            watch.tell()
            running.difference_update(done)
            for each in done:
                result(ray, each)
    finally:
        for left in running:
            ray.cancel(left, force=True)


def run_together(function: Job, job: Any, *, num_workers: int, log: Path):
    """Does a job by several workers at a time, each on a node, or a GPU, of its own.

    Ray Train starts them and names them to each other in `TF_CONFIG`. When one is lost it ends the
    others, and starts all of them again: the job must go on where it was. What the first one prints
    goes to the log, and from there to the output, once a second.

    Args:
        function: what each worker does; it and the job are sent between machines.
        job: what to do it with.
        num_workers: how many.
        log: a file that all machines see; a folder of Ray's stands beside it meanwhile.

    Raises:
        UserError: if there is no room for so many workers, what one of them raises, or if workers
            are lost again and again.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    ray = ray_package()
    cores, gpus = _needs(ray)
    if (room := _room(ray, cores, gpus)) < num_workers:
        raise UserError(
            f"--workers {num_workers}: the cluster has room for {room}, {cores} cores each"
            + (" and a GPU" if gpus else "")
        )
    watch, ended = _Watch(ray, [log]), Future()
    (log,) = watch.logs
    with tempfile.TemporaryDirectory(prefix=".ray-", dir=log.parent) as folder:
        error = Path(folder, "error")
        trainer = TensorflowTrainer(
            _work_together,
            train_loop_config={"work": _work(function, job, log), "log": log, "error": error},
            scaling_config=ScalingConfig(
                num_workers=num_workers,
                use_gpu=bool(gpus),
                resources_per_worker={"CPU": cores, "GPU": gpus},
            ),
            run_config=RunConfig(
                name=log.parent.name,
                storage_path=folder,
                failure_config=FailureConfig(max_failures=MAX_RETRIES),
            ),
        )
        # in the main thread it would answer Ctrl-C in its own way
        threading.Thread(target=_fit, args=(trainer, ended), daemon=True).start()
        waits = False
        while not ended.done():
            with contextlib.suppress(TimeoutError):
                ended.exception(timeout=1)
            watch.tell()
            waited, waits = waits, _room(ray, cores, gpus) < num_workers
            if waits and not waited:
                print(f"waiting for a machine: {num_workers} train together", flush=True)
        if error.exists():
            raise UserError(error.read_text())
        if problem := ended.exception():
            raise UserError(
                f"the cluster lost workers of {log.parent} {MAX_RETRIES + 1} times: {problem}"
            )


def _fit(trainer: Any, ended: Future):
    try:
        ended.set_result(trainer.fit())
    except Exception as error:
        ended.set_exception(error)


def _work_together(config: dict[str, Any]):
    """Does a worker's part; an error of the user's ends all, without another try."""
    from ray.train import get_context

    error: Path = config["error"]
    if error.exists():
        return
    first = get_context().get_world_rank() == 0
    try:
        _log(config["work"], config["log"] if first else Path(os.devnull))
    except UserError as raised:
        error.write_text(str(raised))
        raise


def _work(function: Job, job: Any, log: Path) -> bytes:
    return packed(functools.partial(_of_job, function, job), [log])


def _of_job(function: Job, job: Any) -> Work:
    return lambda items: iter([function(job)])


def _log(work: bytes, log: Path):
    """Does a job in a process of the cluster."""
    with (
        log.open("a", buffering=1) as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        do(work, [None])


def _needs(ray: ModuleType) -> tuple[int, int]:
    """Returns the cores and GPUs of a job: a GPU, or the cores of the smallest node.

    Every node that has some has room for a job then.
    """
    if ray.cluster_resources().get("GPU"):
        return 1, 1
    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return min((cores for cores in found if cores), default=1), 0


def _room(ray: ModuleType, cores: int, gpus: int) -> int:
    """Returns how many jobs the cluster has room for."""
    name, size = ("GPU", gpus) if gpus else ("CPU", cores)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(int(node.get(name, 0)) // size for node in nodes)


class _Watch:
    """Prints what jobs log, behind their names, and which nodes are lost."""

    def __init__(self, ray: ModuleType, logs: Sequence[Path]):
        self.logs = [log.absolute() for log in logs]
        root = os.path.commonpath([log.parent for log in self.logs])
        self._ends = {log: log.stat().st_size for log in self.logs}
        self._names = {log: os.path.relpath(log.parent, root) for log in self.logs}
        self._ray = ray
        self._nodes: dict[str, str] = {}

    def tell(self):
        """Prints the whole lines that are new, and the nodes that are there no more."""
        self._nodes = tell_lost(self._ray, self._nodes)
        for log, name in self._names.items():
            with log.open("rb") as stream:
                stream.seek(self._ends[log])
                news = stream.read()
            news = news[: news.rfind(b"\n") + 1]
            self._ends[log] += len(news)
            for line in news.decode(errors="backslashreplace").splitlines():
                print(line if name == "." else f"{name}: {line}", flush=True)
