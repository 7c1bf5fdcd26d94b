"""Scores of videos, or their features, that are kept: a command that was stopped goes on."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fstcn_keras.files import atomic_write
from fstcn_keras.stored_arrays import read_arrays
from training.parallel import with_progress

SECONDS = 60  # between two savings


def scored(
    paths: Sequence[str],
    score: Callable[[Sequence[str]], Iterable[tuple[str, np.ndarray]]],
    *,
    file: Path,
    key: str,
    description: str,
    unit: str = "video",
    versions: Mapping[str, str] | None = None,
    keep: bool = False,
) -> np.ndarray:
    """Scores videos; goes on with those that a stopped command has done.

    What is done is saved every minute and when an exception ends it, such as Ctrl-C.

    Args:
        paths: of the videos.
        score: gives videos, in any order, each with its scores, arrays of one shape.
        file: what is done, an `.npz` file.
        key: tells the network and its views; what another has done is of no use.
        description: what is going on, for people.
        unit: what has a score, for people.
        versions: hashes of the files by path; what was said of another file of the path is of no
            use either.
        keep: whether the file is to hold all of them in the end.

    Returns:
        The scores in the order of the paths, `(V, ...)`.
    """
    versions = versions or {}
    done = read_scored(file, key, versions)
    left = [path for path in paths if path not in done]
    if 0 < len(left) < len(paths):
        kept = len(paths) - len(left)
        print(f"{description}: {kept} of {len(paths)} {unit}s are done", flush=True)
    saved = time.monotonic()
    try:
        results = score(left)
        for path, found in with_progress(
            results, total=len(left), description=description, unit=unit
        ):
            done[path] = found
            if time.monotonic() - saved > SECONDS:
                _write(file, key, done, versions)
                saved = time.monotonic()
    except BaseException:  # also Ctrl-C and SIGTERM
        if done:
            _write(file, key, done, versions)
        raise
    if keep and left:
        _write(file, key, done, versions)
    return np.stack([done[path] for path in paths])


def read_scored(
    file: Path, key: str | None = None, versions: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """Returns the scores by path that `scored` has saved; none if there are none of the key.

    Args:
        file: what it saved.
        key: of the network and its views; `None` for any.
        versions: as for `scored`; `None` for any.
    """
    with contextlib.suppress(OSError, LookupError, ValueError):
        arrays = read_arrays(file)
        if key in (None, str(arrays["key"])):
            paths = [*map(str, arrays["paths"])]
            kept = map(str, arrays.get("versions", [""] * len(paths)))  # older files have none
            return {
                path: scores
                for path, scores, version in zip(paths, arrays["scores"], kept, strict=True)
                if versions is None or versions.get(path, "") == version
            }
    return {}


def _write(file: Path, key: str, done: dict[str, np.ndarray], versions: Mapping[str, str]):
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.savez(
            stream,
            key=key,
            paths=np.array([*done]),
            versions=np.array([versions.get(path, "") for path in done]),
            scores=np.stack([*done.values()]),
        )
