"""Name the action in a video: python -m training.predict RUN VIDEO"""

import dataclasses
from pathlib import Path

from fstcn_keras.video import VideoError
from training import cli
from training.cli import UserError, option, positional
from training.evaluate import load_classifier


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to predict, and by which run."""

    run: Path = positional("folder of a training run")
    video: Path = positional("the video file")
    top_k: int = option(5, "number of classes to print")


def main(options: PredictOptions):
    """Prints the best classes of one video."""
    if options.top_k < 1:
        raise UserError(f"--top-k must be positive, got {options.top_k}")
    classifier = load_classifier(options.run)
    try:
        prediction = classifier.predict_video(options.video)
    except VideoError as error:
        raise UserError(f"{options.video}: {error}") from error
    num_clips, num_crops = prediction.view_probabilities.shape[:2]
    print(
        f"{options.video}: {prediction.num_frames} frames, {num_clips} clips x {num_crops} crops, "
        "SCI fusion"
    )
    for rank in range(min(options.top_k, len(prediction.classes))):
        print(f"  {prediction.scores[rank]:6.3f}  {prediction.classes[rank]}")


if __name__ == "__main__":
    cli.run(main, PredictOptions)
