"""Work on all cores, in processes that a crash of one video's decoder cannot take along."""

from collections.abc import Callable, Iterator, Sequence

from joblib import Parallel, delayed
from tqdm import tqdm


def map_processes(function: Callable, jobs: Sequence, *, description: str) -> Iterator:
    """Results of `function(job)` in any order, with a progress bar on a terminal."""
    parallel = Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1)
    results = parallel(delayed(function)(job) for job in jobs)
    return iter(tqdm(results, description, len(jobs), unit="video", leave=False, disable=None))
