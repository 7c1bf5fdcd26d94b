"""Scenes that stand on both sides of a split, by the features of a pre-trained backbone.

A video is of the scene of another if the two are as alike as the first and the last clip of one
and the same video are, in the median over the videos in which they differ: of one no longer than a
clip they are the same. Features are those of frames that are EfficientNet-Lite0's: means over
positions and the frames of a clip, their square roots scaled to unit length. How alike two videos
are is the highest cosine of one of either's clips.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fstcn_keras import ViewPlan
from fstcn_keras.config import PRESETS
from fstcn_keras.video.frames import view_frames
from training.data.collections import Dataset, Video
from training.data.doctor import Finding
from training.data.splits import decodable
from training.data.store import FrameStore
from training.parallel import with_progress

NUM_CLIPS = 2  # the first and the last of a video
MIN_VIDEOS = 10  # whose clips differ, for their median


def find_shared_scenes(dataset: Dataset, store: FrameStore, *, preset: str) -> Finding:
    """Finds test videos of which a training video shows the same scene.

    Where the clips of fewer than `MIN_VIDEOS` differ, the finding is that this cannot be told.

    Args:
        dataset: the split.
        store: the decoded frames.
        preset: whose clips are looked at.

    Raises:
        UserError: if the weights are not installed.
    """
    # sparse clips of one video are nearly the same: they would set too high a mark
    config = dataclasses.replace(PRESETS[preset], sampling="dense")
    plan = ViewPlan.from_config(config, num_clips=NUM_CLIPS)
    usable = decodable(dataset.videos, store)
    train, test = ([v for v in usable if v.side == side] for side in ("train", "test"))
    features = clip_features([*train, *test], store, plan)
    within = likeness_within(features)
    if len(within) < MIN_VIDEOS:
        return Finding(
            "warning",
            f"scenes on both sides cannot be told from {len(features)} videos: the first and the "
            f"last clip must differ in {MIN_VIDEOS}",
            (f"they differ in {len(within)}: a clip is of {plan.window_span()} frames",),
            "look at the backgrounds yourself, as the videos are no longer than a clip, or few",
        )
    found = shared_scenes(
        features[: len(train)], features[len(train) :], threshold=float(np.median(within))
    )
    examples = [
        f"test {test[one].path}  =  train {train[other].path} ({alike:.3f})"
        for one, other, alike in found
    ]
    return Finding(
        "warning",
        f"{len(examples)} of {len(test)} test videos show a scene of a training video",
        tuple(examples),
        "keep scenes on one side: name the sources with --groups, as these raise the accuracy "
        "above that on scenes that are new",
    )


def likeness_within(features: np.ndarray) -> np.ndarray:
    """Returns how alike the first and the last clip of each video are whose clips differ.

    Args:
        features: unit vectors `(V, clips, f)`.
    """
    alike = np.sum(features[:, 0] * features[:, -1], axis=-1)
    return alike[~np.isclose(alike, 1)]


def shared_scenes(
    train: np.ndarray, test: np.ndarray, *, threshold: float
) -> list[tuple[int, int, float]]:
    """Returns which test videos show the scene of a training video.

    Args:
        train: features of the training videos, unit vectors `(V, clips, f)`.
        test: those of the test videos, `(W, clips, f)`.
        threshold: how alike two videos of one scene are at least.

    Returns:
        Numbers of the test video and of the training video most like it, and how alike they are;
        the most alike first.
    """
    if not (len(train) and len(test)):
        return []
    found = []
    for number, video in enumerate(test):
        alike = np.einsum("cf,vdf->vcd", video, train).max(axis=(1, 2))
        nearest = int(alike.argmax())
        if alike[nearest] >= threshold:
            found.append((number, nearest, float(alike[nearest])))
    return sorted(found, key=lambda row: -row[2])


def clip_features(videos: Sequence[Video], store: FrameStore, plan: ViewPlan) -> np.ndarray:
    """Computes features of the clips of videos, float32 `(V, M, f)`."""
    from training.baseline import pooled_networks, unit_roots  # import Keras
    from training.options import FitOptions
    from training.parts import build

    network = pooled_networks(build(FitOptions, preset="lite", scl_weights="imagenet"))[0]
    rows = []
    for video in with_progress(
        videos, total=len(videos), description="looking at scenes", unit="video"
    ):
        found = view_frames(store.reader(video.path), plan)
        clips = [network.predict_on_batch(found.frames[pair[0]]) for pair in found.positions]
        rows.append(unit_roots(np.mean(clips, axis=1)))
    return np.stack(rows)
