"""Features of the videos of a run, by the network's named layers; kept in the run folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from analysis.runs import OpenRun
from analysis.style import FEATURES
from fstcn_keras import fusion
from fstcn_keras.files import atomic_write
from fstcn_keras.stored_arrays import read_arrays
from fstcn_keras.video.frames import view_frames
from training.data.collections import Video
from training.locks import locked
from training.networks import weights_sha256


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """Features of some videos, means over all their views.

    Attributes:
        paths: of the videos.
        labels: int `(V,)`.
        features: by name of the layer, those of `FEATURES` that the network has, float32
            `(V, units)`.
        probabilities: of the classes, mean over the views, float32 `(V, N)`.
        scores: SCI-fused scores (section 2.4 of the paper), float64 `(V, N)`.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    features: dict[str, np.ndarray]
    probabilities: np.ndarray
    scores: np.ndarray


def video_features(run: OpenRun, side: str) -> VideoFeatures:
    """Features of all videos of a side, from `RUN/features-SIDE.npz` where they are current.

    They are current if they are of the same weights, view plan and videos; else they are computed
    and written there.

    Args:
        run: the run.
        side: `"test"` or `"train"`.

    Raises:
        UserError: if there is no such video.
    """
    videos = run.videos(side)
    file = run.folder.features(side)
    identity = {
        "weights_sha256": np.array(weights_sha256(run.classifier)),
        "plan": np.array(str(run.classifier.plan)),
        "paths": np.array([video.path for video in videos]),
        "sources": np.array([run.store.videos[video.path].source_sha256 for video in videos]),
    }
    with locked(run.folder.path, "prepares"):  # another command on the run may need the same
        arrays = _read(file, identity)
        if arrays is None:
            arrays = _compute(run, videos)
            with atomic_write(file) as partial, partial.open("wb") as stream:
                np.savez_compressed(stream, **identity, **arrays)
    return VideoFeatures(
        paths=tuple(video.path for video in videos),
        labels=np.array([video.label for video in videos]),
        features={name: arrays[name] for name in FEATURES if name in arrays},
        probabilities=arrays["probabilities"],
        scores=arrays["scores"],
    )


def _read(file: Path, identity: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    try:
        arrays = read_arrays(file)
        is_current = all(
            np.array_equal(arrays.pop(name), value) for name, value in identity.items()
        )
    except (OSError, KeyError, ValueError):  # missing or damaged: computed anew
        return None
    return arrays if is_current else None


def _compute(run: OpenRun, videos: list[Video]) -> dict[str, np.ndarray]:
    """Means of the features over the views of each video, and the fused probabilities."""
    from fstcn_keras.views.scoring import PROBABILITIES, ViewScorer  # imports Keras

    plan, rows = run.classifier.plan, []
    scorer = ViewScorer(run.classifier.model, plan)
    print(f"computing the features of {len(videos)} videos", flush=True)
    for stored in tqdm(videos, "features", unit="video", leave=False, disable=None):
        video = view_frames(run.store.reader(stored.path), plan)
        views = scorer.score([(video.frames, pair) for pair in video.positions])
        means = {name: np.float32(value).mean(axis=(0, 1)) for name, value in views.items()}
        rows.append({**means, "scores": fusion.fuse(views[PROBABILITIES])})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
