"""The line that training has to beat: a linear classifier of the pre-trained features.

The backbone, as `--scl-weights` has it, with the SCL that follows if the file holds that too, sees
the frames and differences of the M clips of every video, whole. Features are means over positions
and images; of each kind, their square roots are scaled to unit length. A linear support vector
machine learns the training videos; its penalty is chosen by cross-validation over whole groups of
them. The features of a video are computed once and kept in the cache folder.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from fstcn_keras import AuxiliaryClassifier, ViewPlan, accelerate, clips
from fstcn_keras.backbones import get_backbone
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder
from fstcn_keras.video.frames import view_frames
from training.data.cache import cache_folder
from training.data.collections import Video
from training.data.store import FrameStore
from training.locks import locked
from training.options import FitOptions
from training.partial_scores import scored
from training.start import load_scl_weights

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

PENALTIES = (1, 3, 10, 30, 100)
FOLDS = 5
MAX_VIDEOS = 5000  # to train on; the time grows as their square


def write_baseline(
    options: FitOptions,
    run: RunFolder,
    store: FrameStore,
    *,
    train: Sequence[Video],
    test: Sequence[Video],
):
    """Writes the baseline's answers for the test videos into the run folder.

    There is none without `--scl-weights`, with `--no-baseline`, or beyond `MAX_VIDEOS`.

    Args:
        options: of the run.
        run: its folder.
        store: the decoded frames.
        train: videos to learn from.
        test: videos to answer for.
    """
    weights = options.network.scl_weights
    if weights is None or options.no_baseline or run.baseline.exists():
        return
    if len(train) > MAX_VIDEOS:
        print(f"no linear baseline: {len(train)} training videos, more than {MAX_VIDEOS}")
        return
    networks = pooled_networks(options)
    features = cached_features([*train, *test], store, options.plan(), networks)
    learned, asked = features[: len(train)], features[len(train) :]
    labels, groups = [video.label for video in train], [video.group for video in train]
    folds = source_folds(labels, groups)
    answers, penalty = svm_answers(learned, labels, groups, asked, folds=folds)
    record = {
        "features": f"{options.backbone.scl}, {Path(weights).name}",
        "penalty": penalty,
        "num_clips": options.num_clips,
        "answers": {v.path: int(a) for v, a in zip(test, answers, strict=True)},
    }
    atomic_write_text(run.baseline, json.dumps(record, indent=1))


def pooled_networks(options: FitOptions) -> list[keras.Model]:
    """Returns what maps frames, and differences, uint8 `(n, h, w, 3)`, to features `(n, f)`."""
    backbone = get_backbone(options.backbone.scl)
    classifier = AuxiliaryClassifier(
        num_classes=2, preset=options.backbone.preset, backbone=options.backbone.scl
    )
    loaded = load_scl_weights(classifier, options).layers
    networks = []
    for normalization in (backbone.frame_normalization(), backbone.difference_normalization()):
        image = keras.Input((None, None, 3), dtype="uint8")
        maps = classifier.backbone(normalization(image))
        if "parallel_scl" in loaded:  # the temporal path's starts as the same
            maps = classifier.frame_encoder.get_layer("parallel_scl")(maps)
        network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps))
        networks.append(accelerate(network))
    return networks


def video_features(
    video: Video, store: FrameStore, plan: ViewPlan, networks: Sequence[keras.Model]
) -> np.ndarray:
    """Computes features of a video's frames and of its differences, float32 `(2, f)`."""
    found = view_frames(store.reader(video.path), plan)
    frames = found.frames
    pairs = np.unique(found.positions.swapaxes(1, 2).reshape(-1, 2), axis=0)
    first, later = frames[pairs[:, 0]], frames[pairs[:, 1]]
    images = frames[np.unique(pairs[:, 0])], clips.absolute_difference(first, later)
    means = [
        np.mean(network.predict_on_batch(some), axis=0)
        for network, some in zip(networks, images, strict=True)
    ]
    return unit_roots(np.asarray(means))


def unit_roots(means: np.ndarray) -> np.ndarray:
    """Returns the square roots of mean features `(n, f)`, each row scaled to unit length."""
    roots = np.sqrt(np.maximum(means, 0))  # features follow a ReLU
    return roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)


def cached_features(
    videos: Sequence[Video], store: FrameStore, plan: ViewPlan, networks: Sequence[keras.Model]
) -> np.ndarray:
    """Returns the features of videos, float32 `(V, 2, f)`; new ones go to the cache folder.

    Args:
        videos: that can be decoded.
        store: the decoded frames.
        plan: which clips of a video.
        networks: of `pooled_networks`.
    """
    digest = hashlib.sha256(json.dumps([dataclasses.asdict(plan), store.encoding]).encode())
    for network in networks:
        for weight in network.get_weights():
            digest.update(np.ascontiguousarray(weight))
    folder = cache_folder() / "linear-features"
    folder.mkdir(parents=True, exist_ok=True)
    by_hash = {store.videos[video.path].source_sha256: video for video in videos}
    with locked(folder, "prepares"):  # other runs, also of other videos, add to the same file
        found = scored(
            [*by_hash],
            lambda left: (
                (key, video_features(by_hash[key], store, plan, networks).astype(np.float32))
                for key in left
            ),
            file=folder / f"{digest.hexdigest()[:20]}.npz",
            key=digest.hexdigest(),
            description="features of the linear baseline",
            keep=True,
        )
    features = dict(zip(by_hash, found, strict=True))
    return np.stack([features[store.videos[video.path].source_sha256] for video in videos])


def svm_answers(
    train: np.ndarray,
    labels: Sequence[int],
    groups: Sequence[str],
    test: np.ndarray,
    *,
    folds: "BaseCrossValidator | None",
) -> tuple[np.ndarray, float]:
    """Returns the labels that a linear support vector machine gives, and its penalty C.

    Args:
        train: features of the training videos, `(V, ...)`.
        labels: theirs.
        groups: their sources.
        test: features of the test videos, `(W, ...)`.
        folds: of the training videos, that choose the penalty; `None` takes the middle one.
    """
    from sklearn.model_selection import GridSearchCV  # takes a second
    from sklearn.svm import SVC

    learner, flat = SVC(kernel="linear", C=PENALTIES[2]), train.reshape(len(train), -1)
    if folds is not None:
        search = GridSearchCV(learner, {"C": PENALTIES}, cv=folds, refit=False)
        search.fit(flat, labels, groups=groups)
        learner.set_params(**search.best_params_)
    learner.fit(flat, labels)
    return learner.predict(test.reshape(len(test), -1)), float(learner.C)


def source_folds(labels: Sequence[int], groups: Sequence[str]) -> "BaseCrossValidator | None":
    """Returns folds of whole sources in which every class is, or `None` where a class has one."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second

    sources = {*zip(labels, groups, strict=True)}
    fewest = min(Counter(label for label, _ in sources).values())
    return StratifiedGroupKFold(min(FOLDS, fewest)) if fewest > 1 else None
