"""Name the action in videos: python -m training.predict [RUN] VIDEO..."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from fstcn_keras.prediction import Prediction
from fstcn_keras.runs import RunFolder, run_and_files
from fstcn_keras.video import VideoError
from fstcn_keras.views.plan import SCORING_MODES
from training import annotation, cli, figures
from training.data.collections.lists import is_video
from training.errors import UserError
from training.evaluate import VIEWS_HELP
from training.evaluation import load_classifier
from training.parts import option, positional
from training.scores import views_text

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to predict, and by which run."""

    paths: tuple[Path, ...] = positional(
        "video files, or folders of them, together: before all options or after '--'; a folder "
        "before them is that of the training run (default: the newest finished one under runs/)"
    )
    top_k: int = option(5, "number of classes to give")
    views: Literal[SCORING_MODES] = option("exact", VIEWS_HELP)
    json: bool = option(False, "print one JSON object a line for each video")
    annotate: Path | None = option(
        None, "copy of the one video to write, .mp4, that names the best classes of every second"
    )
    timeline: Path | None = option(
        None, "figure to write, .png or .svg, of the one video's scores over time"
    )

    def __post_init__(self):
        if self.top_k < 1:
            raise UserError(f"--top-k must be positive, got {self.top_k}")
        for name, suffixes in {"annotate": (".mp4",), "timeline": (".png", ".svg")}.items():
            file = getattr(self, name)
            if file is not None and file.suffix.lower() not in suffixes:
                raise UserError(f"--{name} must end in {' or '.join(suffixes)}, got {file}")
            if file is not None and not file.parent.is_dir():
                raise UserError(f"--{name}: {file.parent} is not a folder")
            if file is not None and file.is_dir():
                raise UserError(f"--{name} must name a file, got the folder {file}")


def main(options: PredictOptions):
    """Prints the best classes of each video, and draws those of every second if asked to."""
    run, videos = run_and_files(options.paths)
    videos = [video for path in videos for video in _videos_of(path)]
    if not videos:
        raise UserError(f"name a video after the run {run}")
    is_drawn = options.annotate or options.timeline
    if is_drawn and len(videos) > 1:
        raise UserError(f"--annotate and --timeline take one video, got {len(videos)}")
    copy = options.annotate
    if copy is not None and copy.exists() and copy.samefile(videos[0]):
        raise UserError(f"--annotate would replace {videos[0]} itself: name another file")
    classifier = load_classifier(RunFolder(run), mode=options.views)
    describe = json_line if options.json else table
    bad = 0
    for result in classifier.predict_videos(videos):
        if result.reason:
            bad += 1
            tqdm.write(f"error: {result.source}: {result.reason}", file=sys.stderr)
        else:
            if result.prediction.incomplete:
                warning = f"warning: {result.source}: {result.prediction.incomplete}"
                tqdm.write(warning, file=sys.stderr)
            for note in result.prediction.notes:
                tqdm.write(f"note: {result.source}: {note}", file=sys.stderr)
            tqdm.write(describe(result.source, result.prediction, options.top_k))
    if bad:
        sys.exit(2)
    if is_drawn:
        draw(classifier, videos[0], options, answer=result.prediction.classes[0])


def _videos_of(path: Path) -> list[Path]:
    """Returns the file, or of a folder the videos in it and below it.

    Raises:
        UserError: if a folder has none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if is_video(file) and file.is_file())
    if not found:
        raise UserError(f"{path} is a folder without videos: name video files, or a folder of them")
    return found


def table(video: Path, prediction: Prediction, top_k: int) -> str:
    """Formats the best classes of a video, for people."""
    views = views_text(prediction.protocol)
    frames = "1 frame" if prediction.num_frames == 1 else f"{prediction.num_frames} frames"
    lines = [f"{video}: {frames}, {views}, SCI fusion"]
    best = zip(prediction.classes[:top_k], prediction.scores, strict=False)
    return "\n".join(lines + [f"  {score:6.3f}  {name}" for name, score in best])


def json_line(video: Path, prediction: Prediction, top_k: int) -> str:
    """Formats the same and what it is made of, for programs."""
    return json.dumps(
        {
            "video": str(video),
            "num_frames": prediction.num_frames,
            "duration_s": prediction.times[-1],
            "incomplete": prediction.incomplete,
            "notes": prediction.notes,
            "classes": prediction.classes[:top_k],
            "scores": prediction.scores[:top_k].tolist(),
            "clip_scores": prediction.clip_scores[:, :top_k].tolist(),
            "sci": prediction.sci.tolist(),
            "frames_used": prediction.pairs.tolist(),
            "seconds_used": prediction.times[prediction.pairs].tolist(),
            "protocol": prediction.protocol,
        }
    )


def draw(classifier: "ActionClassifier", video: Path, options: PredictOptions, *, answer: str):
    """Writes the annotated video and the figure over time; `answer` is that of the whole video."""
    try:
        seconds = list(classifier.timeline(video))
        if options.annotate:
            annotation.annotate(video, seconds, options.annotate)
            print(f"wrote {options.annotate}", file=sys.stderr)
        if options.timeline:
            title = f"{video.name}, as a whole {answer}"
            figure = figures.draw_timeline(seconds, title=title, top_k=options.top_k)
            figures.save_figure(figure, options.timeline)
            print(f"wrote {options.timeline}", file=sys.stderr)
    except (VideoError, ValueError) as error:
        raise UserError(f"{video}: {error}") from error


if __name__ == "__main__":
    cli.run(main, PredictOptions)
