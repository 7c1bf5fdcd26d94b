"""Frameworks that take turns, each in a process of its own.

Two of them in one process get in each other's way: each has its own threads, allocator and
copies of the same libraries. Here each process has all cores while it works, and waits for its
next turn on a pipe.
"""

import contextlib
import functools
import importlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection

from benchmarks.report import alternate
from fstcn_keras.allocation import set_up_allocation

NUM_CLASSES = 51  # of every network that is timed, as in HMDB-51

_prepared: dict[int, "Work"] = {}  # in the worker's process


class Unavailable(Exception):
    """The machine cannot do the work; the message is the reason in one line."""


@dataclass(frozen=True)
class Work:
    """What is timed.

    Attributes:
        call: does it; returns when it is done.
        flops: floating-point operations of one call.
    """

    call: Callable[[], object]
    flops: float


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of a comparison.

    Attributes:
        labels: what the line is about, by column.
        worker: name of the worker that does it.
        function: of the worker's module, gives the `Work`.
        arguments: of the function.
    """

    labels: Mapping[str, object]
    worker: str
    function: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of a case: seconds of one call and its operations, or why there are none."""

    case: Case
    seconds: float = 0.0
    flops: float = 0.0
    reason: str = ""

    @property
    def rate(self) -> float:
        """Operations a second; 0 if there is no time."""
        return self.flops / self.seconds if self.seconds else 0.0


class Worker:
    """A process that prepares work, and does it when told to.

    Args:
        module: name of the module, imported there only, whose functions give `Work`. Its
            `reason(error)` says in one line why the machine cannot do a work that raised the
            error, or gives `None` if the error is one of the program.
        environment: of the process, beside what this one has.
        huge_pages: whether its memory lies in huge pages and stays with it, as the commands' does.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str] | None = None,
        *,
        huge_pages: bool = True,
    ):
        self._module = module
        self._pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(dict(environment or {}), huge_pages),
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_):
        self._pool.shutdown()

    def ask(self, function: str, *arguments):
        """What the module's function gives.

        Raises:
            Unavailable: if the process died.
        """
        return self._result(_ask, self._module, function, arguments)

    def prepare(self, name: int, function: str, **arguments) -> float:
        """Has the module's function make a work, and does it once; gives its operations.

        Raises:
            Unavailable: if the machine cannot do it, or the process died.
        """
        return self._result(_prepare, self._module, name, function, arguments)

    def run(self, name: int):
        """Does a prepared work; returns when it is done.

        Raises:
            Unavailable: as `prepare`.
        """
        self._result(_run, self._module, name)

    def _result(self, function: Callable, *arguments):
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise Unavailable("its process was killed: too little memory?") from None


def measure(cases: list[Case], workers: Mapping[str, Worker], *, rounds: int) -> list[Measured]:
    """Prepares all cases, then does them in turn, see `alternate`.

    A case that the machine cannot do has its reason instead. If a process dies in the rounds,
    no case has a time.
    """
    flops, reasons, calls = {}, {}, {}
    for number, case in enumerate(cases):
        worker = workers[case.worker]
        print(f"preparing {', '.join(map(str, filter(None, case.labels.values())))}", flush=True)
        try:
            flops[number] = worker.prepare(number, case.function, **case.arguments)
            calls[number] = functools.partial(worker.run, number)
        except Unavailable as error:
            reasons[number] = str(error)
    print(f"taking turns, {rounds} rounds", flush=True)
    try:
        seconds = alternate(calls, rounds=rounds)
    except Unavailable as error:
        seconds = {}
        reasons |= dict.fromkeys(calls, str(error))
    return [
        Measured(case=case, reason=reasons[number])
        if number in reasons
        else Measured(case=case, seconds=seconds[number], flops=flops[number])
        for number, case in enumerate(cases)
    ]


def _start(environment: Mapping[str, str], huge_pages: bool):
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if huge_pages:
        set_up_allocation()


def _end_with_parent():
    """Ends this process when its parent is gone: killed, it could not tell its workers to end."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _ask(module: str, function: str, arguments: tuple):
    return getattr(importlib.import_module(module), function)(*arguments)


def _prepare(module: str, name: int, function: str, arguments: dict) -> float:
    with _reasons(module):
        work = getattr(importlib.import_module(module), function)(**arguments)
        work.call()
    _prepared[name] = work
    return work.flops


def _run(module: str, name: int):
    with _reasons(module):
        _prepared[name].call()


@contextlib.contextmanager
def _reasons(module: str):
    """Turns errors into ones that a pipe can carry: many of the frameworks' own cannot be."""
    try:
        yield
    except Exception as error:
        reason = importlib.import_module(module).reason(error)
        if reason is None:
            raise RuntimeError("".join(traceback.format_exception(error))) from None
        raise Unavailable(" ".join(reason.split())) from None
