"""Work on all cores, in processes of their own."""

from collections.abc import Callable, Iterator, Sequence

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from training.cli import UserError


def map_processes(function: Callable, jobs: Sequence, *, description: str) -> Iterator:
    """Results of `function(job)` in any order, with a progress bar on a terminal.

    Raises:
        UserError: if a process was killed, for want of memory or by a crash of a decoder.
    """
    parallel = Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1)
    results = parallel(delayed(function)(job) for job in jobs)
    try:
        yield from tqdm(results, description, len(jobs), unit="video", leave=False, disable=None)
    except TerminatedWorkerError as error:
        raise UserError(
            f"{description}: a process was killed, for want of memory or by a crash of the "
            "decoder; what is finished is kept, run again"
        ) from error
