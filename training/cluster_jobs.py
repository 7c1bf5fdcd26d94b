"""Long jobs on a cluster: side by side, or each by several workers at a time."""

import contextlib
import functools
import os
import shutil
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
    check_seen,
    do,
    packed,
    ray_package,
    result,
    tell_lost,
)

Job = Callable[[Any], None]
STATE = ".ray-"  # begins the name of Ray Train's folder
READ_AT_IMPORT = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")


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
        running.add(task.remote(_work(function, job), log))
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


def check_room(num_workers: int):
    """Makes sure that the cluster has room for so many workers, before anything is trained.

    Raises:
        UserError: if it has not.
    """
    ray = ray_package()
    cores, gpus = _needs(ray)
    if (room := _room(ray, cores, gpus)) < num_workers:
        each = "a GPU" if gpus else f"{cores} core{'s' if cores > 1 else ''}"
        raise UserError(
            f"--workers {num_workers}: the cluster has room for {room}, of {each} each: give no "
            "more, or start Ray on more machines"
        )


def run_together(function: Job, job: Any, *, num_workers: int, log: Path):
    """Does a job by several workers at a time, which are spread over the nodes.

    Ray Train starts them, names them to each other in `TF_CONFIG`, and ends all of them when one is
    lost. They are started again then, once there is room: the job must go on where it was. What the
    first one prints goes to the log, and from there to the output, once a second.

    Ray Train could start them again by itself, but does so after any error, the user's too.

    Args:
        function: what each worker does; it and the job are sent between machines.
        job: what to do it with.
        num_workers: how many, each with a GPU, or as many cores as the smallest node has.
        log: a file that all machines see; a folder of Ray's stands beside it meanwhile.

    Raises:
        UserError: if workers are lost again and again.
        Exception: what one of them raises.
    """
    ray = ray_package()
    watch = _Watch(ray, [log])
    (log,) = watch.logs
    for left in log.parent.glob(f"{STATE}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    config = {"work": _work(function, job), "log": log}
    for _ in range(MAX_RETRIES + 1):
        with tempfile.TemporaryDirectory(
            prefix=STATE, dir=log.parent, ignore_cleanup_errors=True
        ) as folder:
            ended = _started(ray, config, num_workers=num_workers, folder=folder)
            waits = False
            while not ended.done():
                with contextlib.suppress(TimeoutError):
                    ended.exception(timeout=1)
                watch.tell()
                waited, waits = waits, _room(ray, *_needs(ray)) < num_workers
                if waits and not waited:
                    print(f"waiting for a machine: {num_workers} train together", flush=True)
        if (error := ended.exception()) is None:
            return
        _raise_own(error)
    raise UserError(f"the cluster lost workers of {log.parent} {MAX_RETRIES + 1} times: {error}")


def _started(ray: ModuleType, config: dict, *, num_workers: int, folder: str) -> Future:
    """Starts workers in a thread; in the main one Ray Train would answer Ctrl-C in its own way."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    cores, gpus = _needs(ray)
    trainer = TensorflowTrainer(
        _work_together,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=num_workers,
            use_gpu=bool(gpus),
            resources_per_worker={"CPU": cores, "GPU": gpus},
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name="workers",
            storage_path=folder,
            failure_config=FailureConfig(max_failures=0),
            # Ray imports TensorFlow and Keras before the job begins
            worker_runtime_env={"env_vars": {name: os.environ[name] for name in READ_AT_IMPORT}},
        ),
    )
    ended: Future = Future()

    def fit():
        try:
            ended.set_result(trainer.fit())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=fit, daemon=True).start()
    return ended


def _raise_own(error: BaseException):
    """Raises what a worker has raised; returns if nothing did and workers were lost."""
    from ray.train import WorkerGroupError

    if not isinstance(error, WorkerGroupError):
        raise error
    raised = [
        failure
        for failure in error.worker_failures.values()
        if not type(failure).__module__.startswith("ray.")  # these say that a worker is lost
    ]
    for failure in sorted(raised, key=lambda failure: not isinstance(failure, UserError)):
        raise failure


def _work_together(config: dict[str, Any]):
    """Does a worker's part."""
    from ray.train import get_context

    first = get_context().get_world_rank() == 0
    _log(config["work"], config["log"], printed=first)


def _work(function: Job, job: Any) -> bytes:
    return packed(functools.partial(_of_job, function, job), ())


def _of_job(function: Job, job: Any) -> Work:
    return lambda items: iter([function(job)])


def _log(work: bytes, log: Path, *, printed: bool = True):
    """Does a job in a process of the cluster; what it prints goes to the log, or nowhere."""
    check_seen(log)
    with (
        (log if printed else Path(os.devnull)).open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        ) as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        do(work, [None])


def _needs(ray: ModuleType) -> tuple[int, int]:
    """Returns the cores and GPUs of a job: a GPU, or the cores of the smallest node.

    Every node that has cores has room for a job then.
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
                if name == ".":
                    print(line, flush=True)
                elif line.strip():  # a bar that ends leaves an empty one
                    print(f"{name}: {line}", flush=True)
