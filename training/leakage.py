"""Leakage from training into testing: which videos a run is trained on, and which it must not.

A run goes on with the videos that it began with, and is judged by others; those whose frames its
weights have learned from before count as trained on. A folder of videos may grow between two
commands, and its split with it.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder
from training.data.collections import Video
from training.errors import UserError


def record_training_videos(run: RunFolder, *, train: Sequence[Video], held_out: Sequence[Video]):
    """Writes the videos into the run folder; once training has begun, compares them.

    Args:
        run: the folder.
        train: to train on.
        held_out: that choose the best epoch.

    Raises:
        UserError: if training has begun with other videos, or nobody knows with which.
    """
    videos = {"train": _paths(train), "held out": _paths(held_out)}
    before = _recorded_videos(run)
    if before and before != videos:
        changed = sorted({p for side in videos for p in set(videos[side]) ^ set(before[side])})
        raise UserError(
            f"{run} was trained on other videos than there are now: {len(changed)} came, went or "
            f"changed sides, e.g. {changed[0]}: restore them, or start anew with another --out"
        )
    atomic_write_text(run.training_videos, json.dumps(videos, indent=1))


def check_leakage(run: RunFolder, videos: Iterable[Video]):
    """Makes sure that none of the videos was there in training.

    Raises:
        UserError: if one was, or nobody knows.
    """
    recorded = {path for paths in _recorded_videos(run).values() for path in paths}
    if known := sorted(recorded & set(_paths(videos))):
        raise UserError(
            f"{run} was trained on {len(known)} of the test videos, e.g. {known[0]}: the folder "
            "has changed since, and its split with it; restore it, or train anew"
        )


def check_weights_leakage(weights: Path, videos: Iterable[Video]):
    """Makes sure that pre-trained weights have not learned from frames of the videos.

    Args:
        weights: the file, as `training.pretrain` or another program wrote it.
        videos: by which a network that starts from them is to be judged.

    Raises:
        UserError: if they have, or if the file cannot be read.
    """
    from fstcn_keras.weights import source_videos  # imports Keras

    try:
        learned = set(source_videos(weights))
    except ValueError as error:
        raise UserError(f"--scl-weights: {error}") from error
    if known := sorted(learned & set(_paths(videos))):
        raise UserError(
            f"--scl-weights: {weights} has learned from frames of {len(known)} of this split's "
            f"test videos, e.g. {known[0]}: pre-train on frames of its training videos alone"
        )


def _paths(videos: Iterable[Video]) -> list[str]:
    return sorted(video.path for video in videos)


def _recorded_videos(run: RunFolder) -> dict[str, list[str]]:
    """Reads what was recorded; nothing while there are neither checkpoints nor a network."""
    if not (run.checkpoints.exists() or run.model.exists()):
        return {}
    file = run.training_videos
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError) as error:
        wrong = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({error})"
        raise UserError(
            f"{file} {wrong}: without it nobody knows what the run was trained on; "
            "train anew with another --out"
        ) from error
