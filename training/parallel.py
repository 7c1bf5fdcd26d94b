"""Work on all cores, in processes of their own."""

import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from fstcn_keras.process import limit_memory
from training import on_cluster

MEMORY_MIB = 4096  # that a process may take beyond its own code
TOO_MUCH_MEMORY = f"to decode it takes more than {MEMORY_MIB} MiB of memory"

LINE_S = 10  # between two lines of progress in a log
LINE = "{desc}: {n_fmt}/{total_fmt}, {rate_fmt}, {remaining} left"


def map_processes(
    function: Callable,
    jobs: Sequence,
    *,
    killed: Callable,
    description: str,
    unit: str = "video",
    shared: Sequence[Path] = (),
) -> Iterator:
    """Yields results of `function(job)` in any order, with its progress on stderr.

    A job whose process is killed, by a crash or for want of memory, costs nothing but that
    process. It is tried once more, alone, after all others. On Linux a process may take
    `MEMORY_MIB` of memory; beyond it the function gets a MemoryError.

    Args:
        function: what to do; it and its results are sent between processes.
        jobs: what to do it with.
        killed: `killed(job)` gives the result of a job whose process was killed each time.
        description: of the work, for the progress.
        unit: what a job is about, for the progress.
        shared: all files and folders that the work needs, if it may be done on other machines.
    """
    if shared and on_cluster.is_connected():
        make = functools.partial(_lasting, function, killed)
        results = on_cluster.spread(make, jobs, shared=shared)
    else:
        results = _on_this_machine(function, jobs, killed)
    return with_progress(results, total=len(jobs), description=description, unit=unit)


def _lasting(function: Callable, killed: Callable) -> Callable[[Iterable], Iterator]:
    return functools.partial(LastingProcess().map, function, killed=killed)


class LastingProcess:
    """Does one job after another in a process of its own, which is there until this is closed.

    It is made for the first job, or by `start`, and anew after a job that has killed it. Its
    memory is bounded as in `map_processes`.
    """

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def start(self):
        """Makes the process, without waiting until it is there."""
        self._pool = self._pool or self._stack.enter_context(single_process())

    def submit(self, function: Callable, job) -> Future:
        """Begins a job; the result is that of `function(job)`, or a BrokenProcessPool."""
        if self._pool is not None:
            try:
                return self._pool.submit(function, job)
            except BrokenProcessPool:
                self.close()  # else each process that dies leaves files open
        self.start()
        assert self._pool is not None
        return self._pool.submit(function, job)

    def map(self, function: Callable, jobs: Iterable, *, killed: Callable) -> Iterator:
        """Yields the result of each job, in their order; the next one is done meanwhile.

        A job whose process was killed, by itself or by the one before it, is tried twice more.

        Args:
            function: what to do, as for `map_processes`.
            jobs: what to do it with.
            killed: the same.
        """
        begun: collections.deque = collections.deque()  # jobs and their results, two at most
        for job in jobs:
            begun.append((job, self.submit(function, job)))
            if len(begun) == 2:
                yield self._result(function, *begun.popleft(), killed)
        while begun:
            yield self._result(function, *begun.popleft(), killed)

    def close(self):
        """Ends the process."""
        self._stack.close()
        self._pool = None

    def _result(self, function: Callable, job, future: Future, killed: Callable):
        for _ in range(2):
            try:
                return future.result()
            except BrokenProcessPool:
                future = self.submit(function, job)
        try:
            return future.result()
        except BrokenProcessPool:
            return killed(job)


def _on_this_machine(function: Callable, jobs: Sequence, killed: Callable) -> Iterator:
    """Yields what `map_processes` does, without a word."""
    from joblib import cpu_count  # not in each of the processes, which import this module

    again = []
    with closing(_finished(function, jobs, num_processes=cpu_count())) as finished:
        for job, future in finished:
            if isinstance(future.exception(), BrokenProcessPool):
                again.append(job)
            else:
                yield future.result()
    with closing(_finished(function, again, num_processes=1)) as finished:
        for job, future in finished:
            is_killed = isinstance(future.exception(), BrokenProcessPool)
            yield killed(job) if is_killed else future.result()


def _finished(
    function: Callable, jobs: Sequence, *, num_processes: int
) -> Iterator[tuple[object, Future]]:
    """Yields each job with what became of it; closed before the end, it ends the processes.

    A process has one job at a time: when it dies, it is known of which job.
    """
    waiting = collections.deque(jobs)
    running = {}  # future: its process and its job
    with contextlib.ExitStack() as stack:
        idle = [LastingProcess() for _ in range(min(num_processes, len(jobs)))]
        for process in idle:
            stack.callback(process.close)
        while waiting or running:
            while waiting and idle:
                process, job = idle.pop(), waiting.popleft()
                running[process.submit(function, job)] = process, job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                process, job = running.pop(future)
                idle.append(process)
                yield job, future


@contextlib.contextmanager
def single_process() -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of one process, which ends with the context or with this process.

    Its memory is bounded as in `map_processes`. It is spawned: a forked one would inherit locks
    that TensorFlow's threads hold.
    """
    context = multiprocessing.get_context("spawn")
    lives, this_lives = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with, initargs=(lives,))
    try:
        _start_deaf(pool)
        yield pool
    finally:
        this_lives.close()
        pool.shutdown()
        lives.close()


def _start_deaf(pool: ProcessPoolExecutor):
    """Starts the pool's process, which inherits that Ctrl-C is for the one that waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(lives: Connection):
    """Bounds this process' memory, and ends it once nobody holds the other end of the pipe."""
    limit_memory(MEMORY_MIB)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for it

    def watch():
        with contextlib.suppress(EOFError):
            lives.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def with_progress(results: Iterable, *, total: int, description: str, unit: str) -> Iterator:
    """Yields the same results; shows a bar on a terminal, elsewhere a line every ten seconds."""
    if sys.stderr.isatty():
        yield from tqdm(results, description, total, unit=unit, leave=False)
        return
    begun = told = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        if now - told >= LINE_S:
            told, form = now, {"prefix": description, "unit": unit, "bar_format": LINE}
            # by no bar, which each message would have printed again
            print(tqdm.format_meter(done, total, now - begun, **form), file=sys.stderr, flush=True)
