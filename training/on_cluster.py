"""Many machines, by Ray.

`--cluster` of a command connects to a cluster, or starts one of this machine alone. Then `spread`
gives out work to all cores, or all GPUs where there are some; trainings are given out by
`cluster_jobs`. Ray starts the processes, and tries what a lost node had begun elsewhere. The
machines share the folders that a command names: frame stores and run folders are read and written
in place.
"""

import contextlib
import functools
import importlib.util
import itertools
import logging
import math
import os
import pickle
import platform
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from tqdm import tqdm

from training.errors import UserError
from training.parts import option

MAX_ITEMS = 32  # of a task: what starts for each takes little of its time
SHARES_PER_SLOT = 4  # of the rest: the last tasks are small, and all cores end together
MAX_RETRIES = 5  # of a task whose process or node was lost
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else workers print each line twice
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
}
ONCE = {"RAY_gcs_server_port_wait_time_s": "1"}  # tried to connect: 40 s, else a quarter of an hour
CONNECT_S = 10.0  # until what listens at an address has answered
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1"}  # of TensorFlow: every core has its own process

Work = Callable[[Sequence], Iterator]

_options: "ClusterOptions | None" = None  # of the cluster that this process gives out work to


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where a command works."""

    cluster: str | None = option(
        None,
        "work on all machines of a Ray cluster: auto, from one of them, HOST:PORT of its head, or "
        "local, a new one of this machine alone",
    )

    def __post_init__(self):
        if self.cluster is None:
            return
        if not re.fullmatch(r"auto|local|[^\s/]+:\d+", self.cluster):
            raise UserError(
                f"--cluster must be auto, local or HOST:PORT, got {self.cluster}. From outside of "
                "a cluster 'ray job submit' starts a command in it: see docs/clusters.md"
            )
        if importlib.util.find_spec("ray") is None:
            raise UserError("--cluster needs Ray: pip install 'fstcn-keras[cluster]'")


@dataclass(frozen=True, kw_only=True)
class TrainingClusterOptions(ClusterOptions):
    """Where a command that trains works."""

    workers: int = option(
        1,
        "of --cluster, on how many machines, or GPUs, each network is trained at a time; with 1 "
        "several are trained side by side",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.workers < 1:
            raise UserError(f"--workers must be 1 or more, got {self.workers}")
        if self.workers > 1 and self.cluster is None:
            raise UserError(
                f"--workers {self.workers} are of a cluster: give --cluster, too; all devices of "
                "this machine are used without"
            )


@contextlib.contextmanager
def connected(options: ClusterOptions) -> Iterator[None]:
    """Works on the cluster that the options name, if one; ends the job after it, not the cluster.

    Raises:
        UserError: if the cluster cannot be reached.
    """
    if options.cluster is None:
        yield
        return
    if options.cluster not in ("auto", "local"):
        _check_listens(options.cluster)
    once = {} if options.cluster == "local" else ONCE  # there, it is how long a head may take
    os.environ.update(SETTINGS | once | os.environ)
    ray = ray_package()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    global _options
    try:
        context = ray.init(options.cluster, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of no other class where a node does not start in time
        ray.shutdown()
        raise _unreachable(options.cluster, error) from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray sets one of its own
    try:
        where = f", dashboard at http://{context.dashboard_url}" if context.dashboard_url else ""
        print(f"working on {_describe(ray)}{where}", file=sys.stderr, flush=True)
        _options = options
        with _exit_code_kept(on_sigterm):
            yield
    finally:
        _options = None
        ray.shutdown()


@contextlib.contextmanager
def _exit_code_kept(on_sigterm: Callable | int | None) -> Iterator[None]:
    """Ends with the exit code of what answers SIGTERM; Ray, if it waits for tasks, makes it 1."""
    if not callable(on_sigterm):
        yield
        return
    codes = []

    def answer(*signal_and_frame):
        try:
            on_sigterm(*signal_and_frame)
        except SystemExit as ended:
            codes.append(ended.code)
            raise

    signal.signal(signal.SIGTERM, answer)
    try:
        yield
    except SystemExit:
        if codes:
            sys.exit(codes[0])
        raise
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)


def _check_listens(address: str):
    """Makes sure that something listens at an address: Ray itself tries for minutes.

    Raises:
        UserError: if nothing does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:  # also no port, no name of a host
        raise _unreachable(address, error) from error


def _unreachable(cluster: str, error: Exception) -> UserError:
    reason = str(error).partition(". Please ")[0].rstrip(".")  # what follows is of other commands
    advice = (
        ". Give the address that 'ray start --head' has printed on the first machine, auto on a "
        "machine of a cluster, or local for this machine alone"
    )
    return UserError(
        f"--cluster {cluster} cannot be reached: {reason}{'' if cluster == 'local' else advice}"
    )


def is_connected() -> bool:
    """Returns whether this process gives out work to a cluster."""
    return _options is not None


def num_workers() -> int:
    """Returns on how many machines, or GPUs, the cluster is to train a network at a time."""
    return _options.workers if isinstance(_options, TrainingClusterOptions) else 1


def spread(make: Callable[[], Work], items: Sequence, *, shared: Sequence[Path]) -> Iterator:
    """Yields what is made of each item, in any order, by the processes of the cluster.

    Two tasks for each core wait or run at any time, of some items each, so that this process holds
    few results however many items there are. A task whose node is lost is tried elsewhere, and the
    results that it had are forgotten: none comes twice.

    Args:
        make: gives, once in each process, what yields a result for each of some items; for example
            it loads a network. Sent between machines, as are items and results.
        items: what the work is done with.
        shared: files and folders that it needs.

    Raises:
        UserError: if a machine does not see one of these, the work raises one, or a task loses
            one process after another.
    """
    ray = ray_package()
    resource = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
    gpus = int(resource == "GPU")
    # a process is not replaced after a task, though it uses a GPU: what it has loaded is used again
    task = ray.remote(
        num_cpus=1,
        num_gpus=gpus,
        max_calls=0,
        max_retries=MAX_RETRIES,
    )(do)
    work = packed(make, shared, environment={} if gpus else ONE_THREAD)
    chunks, running, nodes = _chunks(items, _num_slots(ray, resource)), set(), {}
    try:
        while True:
            room = 2 * _num_slots(ray, resource) - len(running)  # negative once a node is lost
            for chunk in itertools.islice(chunks, max(0, room)):
                running.add(task.remote(work, chunk))
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            nodes = tell_lost(ray, nodes)
            running.difference_update(done)
            yield from result(ray, done[0])
    finally:
        for left in running:
            ray.cancel(left, force=True)


def _chunks(items: Sequence, num_slots: int) -> Iterator[list]:
    """Yields the items of each task (guided self-scheduling, Polychronopoulos and Kuck 1987)."""
    begin = 0
    while begin < len(items):
        size = min(MAX_ITEMS, math.ceil((len(items) - begin) / (SHARES_PER_SLOT * num_slots)))
        yield list(items[begin : begin + size])
        begin += size


def packed(
    make: Callable[[], Work],
    shared: Sequence[Path],
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Returns work as it is sent to other machines, see `spread`.

    Args:
        make: as for `spread`.
        shared: the same.
        environment: variables that the processes set first. By Ray's runtime environments no
            process that waits for work would do.
    """
    folders = os.getcwd(), [path.absolute() for path in shared]
    return pickle.dumps((make, *folders, dict(environment)))


def do(work: bytes, items: list) -> list:
    """Does some of the work in a process of the cluster."""
    return list(_made(work)(items))


@functools.lru_cache(maxsize=1)
def _made(work: bytes) -> Work:
    """Sets this process up, once for all tasks of a piece of work."""
    from fstcn_keras.process import set_up_process

    sys.modules["__main__"].__file__ = None  # processes that this one spawns do not import Ray
    set_up_process(tensorflow=True)
    make, folder, shared, environment = pickle.loads(work)
    os.environ.update(environment)
    for path in (Path(folder), *shared):
        check_seen(path)
    os.chdir(folder)  # relative paths mean the same everywhere
    return make()


def check_seen(path: Path):
    """Makes sure that this machine sees a file or folder.

    Raises:
        UserError: if not.
    """
    if not path.exists():
        raise UserError(
            f"{path} is not there on the machine {platform.node()}: all machines of the "
            "cluster must see the same folders, by the same names"
        )


def result(ray: ModuleType, task: Any) -> list:
    """Returns what a task has made.

    Raises:
        UserError: if the task raised one, or lost one process after another.
        OSError: if it raised one; without the traceback that Ray makes a part of its text.
    """
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, (UserError, OSError)):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise UserError(
            f"the cluster lost the process of a task {MAX_RETRIES + 1} times: {error}"
        ) from error


def tell_lost(ray: ModuleType, before: dict[str, str]) -> dict[str, str]:
    """Names the nodes that are there no more; returns those that are, by their numbers."""
    now = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    for number in before.keys() - now.keys():
        tqdm.write(
            f"warning: the node {before[number]} was lost: what it had begun is tried elsewhere",
            file=sys.stderr,
        )
    return now


def _num_slots(ray: ModuleType, resource: str) -> int:
    return max(1, int(ray.cluster_resources().get(resource, 0)))


def _describe(ray: ModuleType) -> str:
    resources = ray.cluster_resources()
    counts = {
        "node": sum(node["Alive"] for node in ray.nodes()),
        "core": int(resources.get("CPU", 0)),
        "GPU": int(resources.get("GPU", 0)),
    }
    return ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n)


def ray_package() -> ModuleType:
    """Returns Ray, which only who works on a cluster has installed."""
    import ray

    return ray
