"""From when on a run refuses videos as none of its classes (`--reject-at`).

The threshold is chosen on videos of the training list that the network has not learned from, whole
groups of them, scored as in every prediction: M clips of 18 crops. Their scores stay in the run
folder.
"""

from collections.abc import Sequence

import numpy as np

from fstcn_keras.description import save_rejection
from fstcn_keras.rejection import Rejection, fewest_videos
from fstcn_keras.runs import RunFolder
from training.data.collections import Dataset, Video
from training.data.groups import NothingHeldOut
from training.data.splits import split_training
from training.data.store import FrameStore
from training.errors import UserError
from training.evaluation import score_videos
from training.leakage import LearnedVideos, file_hashes
from training.networks import load_classifier
from training.options import FitOptions
from training.partial_scores import read_scored

HELD_OUT_SHARE = 0.2  # of the training videos, if none are held out to choose the epoch


def split_sides(
    options: FitOptions, dataset: Dataset, store: FrameStore, learned: LearnedVideos
) -> tuple[list[Video], list[Video], bool]:
    """Splits the training videos into those to train on and those held out.

    Args:
        options: of the run.
        dataset: its split.
        store: the decoded frames.
        learned: what the weights that it starts from have learned from.

    Returns:
        Both, and whether those held out choose the best epoch. They do not if they are held out
        for the threshold alone, which the choice would make too low.

    Raises:
        UserError: as `split_training` does, and if they are too few to choose the threshold on, or
            the weights that the run starts from know one of them.
    """
    share, seed = options.run.val_fraction, options.run.seed
    chooses = bool(share or dataset.side("val")) or options.reject_at is None
    share = share if chooses else HELD_OUT_SHARE
    try:
        train, held_out = split_training(dataset, store, val_fraction=share, seed=seed)
    except NothingHeldOut as error:
        if chooses:
            raise
        raise UserError(
            f"--reject-at {options.reject_at:g} holds {share:.0%} of each class out, whole "
            "sources, to choose the threshold on, and every source has more than that of its "
            "class: take videos of more sources, hold out more by --val-fraction, or leave "
            "--reject-at out"
        ) from error
    if options.reject_at is None:
        return train, held_out, True
    fewest = fewest_videos(options.reject_at)
    if len(held_out) < fewest:
        raise UserError(
            f"--reject-at {options.reject_at:g} needs {fewest} held-out training videos or more, "
            f"got {len(held_out)}: refuse a larger share, or hold out more by --val-fraction"
        )
    if known := learned.among(held_out, file_hashes(store)):
        raise UserError(
            f"--reject-at: what the run starts from has learned from {len(known)} of the "
            f"{len(held_out)} training videos that are held out to choose the threshold on, e.g. "
            f"{known[0]}: start from other weights, or leave --reject-at out"
        )
    return train, held_out, chooses


def calibrate(run: RunFolder, store: FrameStore, held_out: Sequence[Video], *, share: float):
    """Chooses the threshold on held-out videos and gives it to the run's network.

    Args:
        run: the folder of a trained run.
        store: the decoded frames.
        held_out: videos that it has not learned from.
        share: of videos of its classes that may be refused.

    Raises:
        UserError: if the videos are too few.
    """
    _, energy = score_videos(
        load_classifier(run),
        store,
        [video.path for video in held_out],
        run=run,
        file=run.held_out_scores,
        description="scoring held-out videos",
        keep=True,
    )
    set_rejection(run, _chosen(energy, share))


def chosen_again(run: RunFolder, *, share: float) -> Rejection:
    """Chooses another threshold for a trained run, by the scores of its held-out videos.

    Args:
        run: the folder.
        share: of videos of its classes that may be refused.

    Raises:
        UserError: if there are no scores of held-out videos, or too few.
    """
    scores = read_scored(run.held_out_scores)  # with the energy, see `score_videos`
    if not scores:
        raise UserError(
            f"{run} has no scores of held-out videos to choose a threshold on: train it by "
            f"'python -m training.fit ... --reject-at {share:g}'"
        )
    return _chosen(np.stack([*scores.values()])[..., -1], share)


def set_rejection(run: RunFolder, rejection: Rejection):
    """Gives the run's network a threshold, and says which."""
    save_rejection(run.path, rejection)
    print(
        f"videos of a novelty above {rejection.threshold:.3f} are refused as none of the classes: "
        f"{rejection.share:.1%} of {rejection.videos} held-out videos"
    )


def _chosen(energy: np.ndarray, share: float) -> Rejection:
    try:
        return Rejection.from_held_out(energy, share=share)
    except ValueError as error:
        raise UserError(f"--reject-at: {error}") from error
