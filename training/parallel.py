"""Work on all cores, in processes of their own."""

import collections
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from joblib import cpu_count
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

# What a killed worker leaves behind is cleared away, and no news for the user.
_TRACKER = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"
SECONDS_BETWEEN_LINES = 10


def map_processes(
    function: Callable, jobs: Sequence, *, killed: Callable, description: str, unit: str = "video"
) -> Iterator:
    """Results of `function(job)` in any order, with its progress on stderr.

    A job whose process is killed, by a crash or for want of memory, costs nothing but that
    process. It is tried once more, alone, after all others.

    Args:
        function: what to do; it and its results are sent between processes.
        jobs: what to do it with.
        killed: `killed(job)` gives the result of a job whose process was killed twice.
        description: of the work, for the progress.
        unit: what a job is about, for the progress.
    """
    results = _results(function, jobs, killed)
    return _with_progress(results, total=len(jobs), description=description, unit=unit)


def _results(function: Callable, jobs: Sequence, killed: Callable) -> Iterator:
    again = []
    for job, future in _finished(function, jobs, num_processes=cpu_count()):
        if isinstance(future.exception(), TerminatedWorkerError):
            again.append(job)
        else:
            yield future.result()
    for job, future in _finished(function, again, num_processes=1):
        if isinstance(future.exception(), TerminatedWorkerError):
            yield killed(job)
        else:
            yield future.result()


def _finished(
    function: Callable, jobs: Sequence, *, num_processes: int
) -> Iterator[tuple[object, Future]]:
    """Each job with what became of it.

    A pool is one process with one job at a time: when it dies, it is known of which job.
    """
    if _TRACKER not in sys.warnoptions:  # what the tracker's process is started with
        sys.warnoptions.append(_TRACKER)
    waiting = collections.deque(jobs)
    running = {}  # future: its pool and its job
    with contextlib.ExitStack() as stack:

        def new_pool() -> ProcessPoolExecutor:
            pool = ProcessPoolExecutor(1, initializer=_end_with_parent, initargs=(os.getpid(),))
            stack.callback(pool.shutdown, kill_workers=True)
            return pool

        idle = [new_pool() for _ in range(min(num_processes, len(jobs)))]
        while waiting or running:
            while waiting and idle:
                pool, job = idle.pop(), waiting.popleft()
                running[pool.submit(function, job)] = pool, job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, job = running.pop(future)
                idle.append(new_pool() if future.exception() else pool)
                yield job, future


def _end_with_parent(parent: int):
    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _with_progress(
    results: Iterable, *, total: int, description: str, unit: str = "video"
) -> Iterator:
    """The same results; a bar on a terminal, elsewhere a line every ten seconds."""
    if sys.stderr.isatty():
        yield from tqdm(results, description, total, unit=unit, leave=False)
        return
    start = last = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            line = progress_line(done, total, seconds=now - start, unit=unit)
            print(f"{description}: {line}", file=sys.stderr, flush=True)


def progress_line(done: int, total: int, *, seconds: float, unit: str = "video") -> str:
    """How far the work is, how fast, and when it ends if it goes on like this."""
    left = round(seconds / done * (total - done))
    return f"{done}/{total}, {done / seconds:.1f} {unit}s/s, {left // 60}:{left % 60:02d} left"
