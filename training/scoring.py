"""Scoring videos, here or in the processes of a cluster."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.prediction import VideoResult
from fstcn_keras.runs import RunFolder
from training import on_cluster
from training.decoding import DecodedVideos
from training.networks import load_classifier
from training.parallel import LastingProcess

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


def predicted(
    classifier: "ActionClassifier", decoder: LastingProcess, videos: Sequence[Path]
) -> Iterator[VideoResult]:
    """Yields what is said about each video, in their order.

    Args:
        classifier: who says it.
        decoder: the process that decodes them.
        videos: the files.
    """
    for result in classifier.predict_videos(DecodedVideos(videos, classifier.plan, decoder)):
        decoded, prediction = result.source, result.prediction
        if prediction is not None:
            prediction = dataclasses.replace(prediction, times=decoded.shown_at, middle_frame=None)
        yield dataclasses.replace(result, source=decoded.path, prediction=prediction)


def predicted_on_cluster(
    run: RunFolder, videos: Sequence[Path], *, mode: str | None
) -> Iterator[VideoResult]:
    """Yields the same in any order, said by the processes of the cluster.

    Args:
        run: whose network each of them loads.
        videos: the files.
        mode: how crops are scored, as for `ActionClassifier.load`.
    """
    make = _Predictor(run.path.absolute(), mode)
    return on_cluster.spread(make, videos, shared=(run.model,))


@dataclasses.dataclass(frozen=True)
class _Predictor:
    run: Path
    mode: str | None

    def __call__(self) -> Callable[[Sequence[Path]], Iterator[VideoResult]]:
        classifier = load_classifier(RunFolder(self.run), mode=self.mode)
        return functools.partial(predicted, classifier, LastingProcess())
