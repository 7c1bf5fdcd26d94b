"""Compares a network in int8 with the one in float32 that it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras.export.calibration import RunVideos, spread

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

MOST_VIDEOS = 200  # that are scored by both


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Holds what two forms of a network answer for the same videos.

    Example:
        >>> found = Comparison(
        ...     float32=np.array([0, 1, 1]), int8=np.array([0, 1, 0]), labels=np.array([0, 1, 1])
        ... )
        >>> print(found.text("5 clips x 18 crops"))
        3 test videos, 5 clips x 18 crops, SCI fusion: top-1 100.0% in float32, 66.7% in int8
        the same answer for 66.7%

    Attributes:
        float32: labels that the one gives, int `(V,)`.
        int8: those of the other.
        labels: the true ones of test videos; `None` if the videos are those of the calibration.
    """

    float32: np.ndarray
    int8: np.ndarray
    labels: np.ndarray | None

    @property
    def agreement(self) -> float:
        """Returns the share of videos for which both give the same answer."""
        return float(np.mean(self.float32 == self.int8))

    def accuracies(self) -> tuple[float, float]:
        """Returns top-1 in float32 and in int8, of test videos."""
        return float(np.mean(self.float32 == self.labels)), float(np.mean(self.int8 == self.labels))

    def text(self, views: str) -> str:
        """Says in two lines how they compare; `views` are those of a video, in words."""
        which = "calibration" if self.labels is None else "test"
        head = f"{len(self.int8)} {which} videos, {views}, SCI fusion: "
        if self.labels is None:
            head += "no test videos are found, and so no accuracy"
        else:
            before, after = self.accuracies()
            head += f"top-1 {before:.1%} in float32, {after:.1%} in int8"
        return f"{head}\nthe same answer for {self.agreement:.1%}"


def compare(
    classifier: "ActionClassifier",
    file: Path,
    *,
    videos: RunVideos,
    calibration: Sequence[Path],
) -> Comparison:
    """Has both score the run's test videos, or if there are none those of the calibration.

    Args:
        classifier: in float32.
        file: ONNX or LiteRT, in int8.
        videos: of the run; of more than `MOST_VIDEOS` test videos so many are scored.
        calibration: videos that int8 was calibrated by.

    Raises:
        ValueError: if no video can be read.
        ImportError: if the runtime of the file is not installed.
    """
    files = spread(sorted(videos.test), MOST_VIDEOS) or list(calibration)
    before = answers(classifier, files)
    after = answers(file_classifier(file, classifier), files)
    read = [file for file in files if file in before]
    if not read:
        raise ValueError(f"none of {len(files)} videos to compare by could be read")
    return Comparison(
        float32=np.array([before[file] for file in read]),
        int8=np.array([after[file] for file in read]),
        labels=np.array([videos.test[file] for file in read]) if videos.test else None,
    )


def file_classifier(file: Path, classifier: "ActionClassifier") -> "ActionClassifier":
    """Returns a classifier that scores by an ONNX or LiteRT file, otherwise like the given one.

    Raises:
        ImportError: if the runtime of the file is not installed.
    """
    from fstcn_keras.classifier import ActionClassifier
    from fstcn_keras.export.runtimes import NetworkScorer, load_network

    return ActionClassifier(
        classifier.model,
        classes=list(classifier.classes),
        plan=classifier.plan,
        scorer=NetworkScorer(load_network(file), classifier.plan),
    )


def answers(classifier: "ActionClassifier", files: Sequence[Path]) -> dict[Path, int]:
    """Returns the label of the best class of each video, but for those that cannot be read."""
    return {
        result.source: classifier.classes.index(result.prediction.classes[0])
        for result in classifier.predict_videos(files)
        if result.prediction is not None
    }
