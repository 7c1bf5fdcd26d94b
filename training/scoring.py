"""Scoring videos, here or in the processes of a cluster."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.prediction import VideoResult
from fstcn_keras.runs import RunFolder
from training import on_cluster
from training.decoding import DecodedVideos, decoder_of_views
from training.evaluation import load_classifier
from training.parallel import LastingProcess

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


def predicted(classifier: "ActionClassifier", videos: Sequence[Path]) -> Iterator[VideoResult]:
    """Yields what is said about each video, in their order; a process of its own decodes them."""
    with closing(decoder_of_views(classifier.plan)) as decoder:
        yield from _predicted(classifier, videos, decoder)


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
        decoder = decoder_of_views(classifier.plan)
        return lambda videos: _predicted(classifier, videos, decoder)


def _predicted(
    classifier: "ActionClassifier", videos: Sequence[Path], decoder: LastingProcess
) -> Iterator[VideoResult]:
    for result in classifier.predict_videos(DecodedVideos(videos, decoder)):
        decoded, prediction = result.source, result.prediction
        if prediction is not None:
            prediction = dataclasses.replace(prediction, times=decoded.shown_at, middle_frame=None)
        yield dataclasses.replace(result, source=decoded.path, prediction=prediction)
