"""Several machines: what `TF_CONFIG` says, and workers that survive the loss of another.

TensorFlow cannot leave a cluster that has failed: collective operations raise errors ever after,
some failures abort the process, and a process that waits for others heeds no signal. So a worker
is two processes: one that computes, and its parent, which starts another one when a worker was
lost. The parent has computed nothing, which makes forking safe.
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

from training.errors import UserError

LOST = 75  # exit code of a child that lost another worker (EX_TEMPFAIL)
TELL_AFTER_S = 5  # of waiting for the other workers
GIVE_UP_AFTER_S = 30 * 60
PORT_S = 10
SHORT_LIFE_S = 60
MAX_SHORT_LIVES = 8  # in a row


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
def waiting_for(cluster: Cluster) -> Iterator[None]:
    """Tells whom the process waits for while it joins the cluster within, and gives up at last.

    TensorFlow does not return to Python meanwhile, so signals end the process at once.
    """

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
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _FORWARDED}
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


_FORWARDED = (signal.SIGTERM, signal.SIGINT)


def continue_in_child(cluster: Cluster):
    """Returns in a child process, and again in another one whenever a worker was lost.

    Raises:
        UserError: if this worker's port cannot be had.
        SystemExit: in the parent, when a child is done, with its exit code; with 1 if child after
            child lived but shortly.
    """
    short_lives = 0
    while True:
        began = time.monotonic()
        _wait_for_port(int(cluster.addresses[cluster.number].rpartition(":")[2]))
        code, stopped = _run_child()
        if code is None:
            return
        if stopped and code in (LOST, -signal.SIGKILL):
            code = -stopped[0]
        ended_by_signal = code < 0 and -code not in _FORWARDED
        if code != LOST and not ended_by_signal:
            sys.exit(code if code >= 0 else 128 - code)
        if ended_by_signal:
            name = signal.Signals(-code).name
            print(f"this worker was ended by {name} and starts again", file=sys.stderr, flush=True)
        short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE_S else 0
        if short_lives == MAX_SHORT_LIVES:
            print(f"error: gave up after {short_lives} short starts", file=sys.stderr)
            sys.exit(1)
        time.sleep(min(2 ** (short_lives - 1), 16) if short_lives else 0)


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


def _run_child() -> tuple[int | None, list[int]]:
    """Runs a child; returns its exit code, negative for a signal, and the signals that came."""
    stopped: list[int] = []
    child = None

    def forward(number, frame):
        stopped.append(number)
        if child:
            os.kill(child, number)

    sys.stdout.flush()
    sys.stderr.flush()
    lives, parent_lives = os.pipe()
    before = {number: signal.getsignal(number) for number in _FORWARDED}
    child = os.fork()
    if child == 0:
        os.close(parent_lives)
        threading.Thread(target=_end_with_parent, args=(lives,), daemon=True).start()
        sys.excepthook = _tell_loss
        return None, stopped
    os.close(lives)
    for number in _FORWARDED:
        signal.signal(number, forward)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    child = None
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(parent_lives)
    return code, stopped


def _end_with_parent(lives: int):
    os.read(lives, 1)  # returns when the parent, which alone holds the other end, has ended
    os.kill(os.getpid(), signal.SIGKILL)


def _tell_loss(kind: type[BaseException], error: BaseException, trace):
    """Makes of an error that another worker's end caused one line and the exit code `LOST`."""
    if not issubclass(kind, LOSSES):
        sys.__excepthook__(kind, error, trace)
        return
    print(
        "a worker was lost; this one starts again from the last checkpoint, and waits for it "
        f"({kind.__name__}: {' '.join(str(error).split())})",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(LOST)  # TensorFlow cannot leave the failed cluster in order
