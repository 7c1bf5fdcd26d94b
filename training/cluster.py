"""Several machines: what `TF_CONFIG` says, and how a worker ends when another is lost.

TensorFlow cannot leave a cluster that has failed: collective operations raise errors ever after,
and some failures abort the process. So a worker ends, and what started it starts it again.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from training.ending import answering
from training.errors import UserError

LOST = 75  # exit code of a worker that lost another one (EX_TEMPFAIL)
TELL_AFTER_S = 5  # of waiting for the other workers
GIVE_UP_AFTER_S = 30 * 60
PORT_S = 10


class WorkerLost(Exception):
    """Another worker is not there any more."""


LOSSES = (
    WorkerLost,
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The workers of a job.

    Attributes:
        addresses: `HOST:PORT` of every worker; the first one writes the files.
        number: of this worker, from 0.
    """

    addresses: tuple[str, ...]
    number: int

    @classmethod
    def from_environment(cls) -> "Cluster | None":
        """Reads `TF_CONFIG`; returns `None` if it is not set or empty.

        Raises:
            UserError: if it is not the description of a cluster of workers.
        """
        text = os.environ.get("TF_CONFIG", "").strip()
        if not text:
            return None
        try:
            config = json.loads(text)
            jobs, task = config["cluster"], config["task"]
            kind, index = task["type"], task["index"]
            jobs = {name: list(addresses) for name, addresses in jobs.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _wrong(f"{type(error).__name__}: {error}", text) from error
        if set(jobs) - {"chief", "worker"} or len(jobs.get("chief", ())) > 1:
            raise _wrong("it may have workers and one chief, nothing else", text)
        if kind not in jobs:
            raise _wrong(f"the task is of type {kind!r}, the cluster has {sorted(jobs)}", text)
        addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
        if not all(isinstance(a, str) and a.rpartition(":")[2].isdigit() for a in addresses):
            raise _wrong("every address must be HOST:PORT", text)
        if type(index) is not int or not 0 <= index < len(jobs[kind]):
            raise _wrong(f"the index of a {kind} must be in 0..{len(jobs[kind]) - 1}", text)
        number = index + (len(jobs.get("chief", ())) if kind == "worker" else 0)
        return cls(addresses=tuple(addresses), number=number)

    @property
    def others(self) -> str:
        """Returns the addresses of the other workers."""
        return ", ".join(a for number, a in enumerate(self.addresses) if number != self.number)


def _wrong(what: str, text: str) -> UserError:
    return UserError(
        f"TF_CONFIG is wrong: {what}; expected "
        '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}, '
        f"got {text[:300]}"
    )


@contextlib.contextmanager
def ended_by_loss(cluster: Cluster | None) -> Iterator[None]:
    """Ends the process with one line and the exit code `LOST` if another worker is lost within."""
    try:
        yield
    except LOSSES as error:
        if cluster is None:
            raise
        print(
            f"a worker was lost: this one ends with code {LOST}; when all of them are started "
            "again they go on from the last checkpoint "
            f"({type(error).__name__}: {' '.join(str(error).split())})",
            file=sys.stderr,
            flush=True,
        )
        sys.stdout.flush()
        os._exit(LOST)  # TensorFlow cannot leave the failed cluster in order


@contextlib.contextmanager
def waiting_for(cluster: Cluster) -> Iterator[None]:
    """Tells whom the process waits for while it joins the cluster within, and gives up at last.

    TensorFlow does not return to Python meanwhile, so signals end the process at once.

    Raises:
        UserError: if this worker's port cannot be had.
    """
    _wait_for_port(int(cluster.addresses[cluster.number].rpartition(":")[2]))

    def tell():
        print(f"waiting for the other workers: {cluster.others}", flush=True)

    def give_up():
        print(
            f"error: waited {GIVE_UP_AFTER_S / 60:g} minutes for the other workers, "
            f"{cluster.others}: start all of them with the same command",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)

    timers = [threading.Timer(TELL_AFTER_S, tell), threading.Timer(GIVE_UP_AFTER_S, give_up)]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        with answering(signal.SIG_DFL):
            yield
    finally:
        for timer in timers:
            timer.cancel()


def _wait_for_port(port: int):
    """Waits for the port, which a worker that has just been killed may still hold."""
    deadline = time.monotonic() + PORT_S
    while True:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("", port))
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"port {port}, which TF_CONFIG gives this worker, cannot be had: "
                        f"{error.strerror}"
                    ) from error
        time.sleep(0.2)
