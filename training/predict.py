"""Name the action in videos: python -m training.predict [RUN] VIDEO..."""

import contextlib
import csv
import dataclasses
import datetime
import functools
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from fstcn_keras import live, segments
from fstcn_keras.error_texts import reason_of
from fstcn_keras.files import atomic_write_text
from fstcn_keras.prediction import Prediction, VideoResult
from fstcn_keras.rejection import NONE
from fstcn_keras.runs import RunFolder, run_and_files
from fstcn_keras.video import VideoError
from fstcn_keras.video.live import LiveSource
from fstcn_keras.video.suffixes import videos_below
from fstcn_keras.views.plan import SCORING_MODES
from training import cli, on_cluster, prediction_table
from training.decoding import isolated
from training.errors import UserError
from training.evaluate import VIEWS_HELP
from training.networks import load_classifier, weights_sha256
from training.on_cluster import ClusterOptions
from training.parallel import LastingProcess, with_progress
from training.parts import option, positional
from training.scores import views_text
from training.scoring import predicted, predicted_on_cluster

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


LISTS = (".txt", ".csv")
SUFFIXES = {
    "out": prediction_table.SUFFIXES,
    "annotate": (".mp4",),
    "timeline": (".png", ".svg"),
    "segments": (".csv", ".vtt"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to predict, and by which run."""

    paths: tuple[Path, ...] = positional(
        "video files, folders of them, or lists: a .txt file with a path a line, a .csv file with "
        "a column path or video; a folder before them is that of the training run (default: the "
        "newest finished one under runs/)",
        default=(),
    )
    top_k: int = option(5, "number of classes to give")
    views: Literal[SCORING_MODES] = option("exact", VIEWS_HELP)
    json: bool = option(False, "print one JSON object a line for each video")
    out: Path | None = option(
        None, "table to write, .csv or .parquet, with a row for each video, instead of printing"
    )
    annotate: Path | None = option(
        None, "copy of the one video to write, .mp4, that names the best classes of every second"
    )
    timeline: Path | None = option(
        None, "figure to write, .png or .svg, of the one video's scores over time"
    )
    segments: Path | None = option(
        None, "table, .csv, or captions, .vtt, of what is seen from when to when in the one video"
    )
    stream: str | None = option(
        None,
        "instead of videos, what happens now: the number of a camera, an address such as "
        "rtsp://..., or - for standard input; prints one JSON object a line for each second",
    )
    min_segment: float = option(1.0, "minimal length of a segment, seconds")

    def __post_init__(self):
        if self.top_k < 1:
            raise UserError(f"--top-k must be positive, got {self.top_k}")
        if not 0 < self.min_segment < math.inf:
            raise UserError(
                f"--min-segment must be a positive number of seconds, got {self.min_segment}"
            )
        for name, suffixes in SUFFIXES.items():
            file = getattr(self, name)
            if file is not None and file.suffix.lower() not in suffixes:
                raise UserError(f"--{name} must end in {' or '.join(suffixes)}, got {file}")
            if file is not None and not file.parent.is_dir():
                raise UserError(f"--{name}: {file.parent} is not a folder")
            if file is not None and file.is_dir():
                raise UserError(f"--{name} must name a file, got the folder {file}")
        if self.out is not None:
            if self.json:
                raise UserError("--out writes what --json prints: give one of them")
            if self.is_over_time:
                raise UserError("--out is a table of videos: draw one with a command of its own")
            prediction_table.check_format(self.out)
        if self.stream is not None:
            self._check_stream()

    def _check_stream(self):
        others = [name for name in (*SUFFIXES, "json") if getattr(self, name)]
        if others:
            raise UserError(f"--stream prints JSON lines, and goes without --{others[0]}")
        try:
            LiveSource.parse(self.stream)
        except ValueError as error:
            raise UserError(f"--stream {error}") from error

    @property
    def is_over_time(self) -> bool:
        """Returns whether something is to be made of the seconds of one video."""
        return bool(self.annotate or self.timeline or self.segments)


def main(options: PredictOptions):
    """Prints the best classes of each video, and draws those of every second if asked to."""
    run, given = run_and_files(options.paths)
    if options.stream is not None:
        if given:
            raise UserError(f"--stream takes the run alone, got {given[0]} too")
        watch(load_classifier(RunFolder(run), mode=options.views), options)
        return
    videos = [video for path in given for video in _videos_of(path)]
    if not videos:
        raise UserError(f"name a video after the run {run}")
    if options.is_over_time and len(videos) > 1:
        raise UserError(f"--annotate, --timeline and --segments take one video, got {len(videos)}")
    _check_outputs(options, [*given, *videos[:1]])
    with contextlib.closing(LastingProcess()) as decoder:
        if not on_cluster.is_connected():
            decoder.start()  # while the network is loaded
        classifier = load_classifier(RunFolder(run), mode=options.views)
        predict = functools.partial(predicted, classifier, decoder)
        if on_cluster.is_connected():
            predict = functools.partial(predicted_on_cluster, RunFolder(run), mode=options.views)
        bad = 0
        for result in _results(predict, classifier, videos, options):
            bad += not _report(result, options)
    if options.out:
        print(f"wrote {options.out}", file=sys.stderr)
    if bad:
        sys.exit(2)
    if options.is_over_time:
        answer = NONE if result.prediction.rejected else result.prediction.classes[0]
        write_over_time(classifier, videos[0], options, answer=answer)


def _results(
    predict: Callable[[Sequence[Path]], Iterator[VideoResult]],
    classifier: "ActionClassifier",
    videos: Sequence[Path],
    options: PredictOptions,
) -> Iterator[VideoResult]:
    """Yields what is said about each video, once it stands in the table if there is one."""
    if options.out is None:
        yield from predict(videos)
        return
    network = f"{weights_sha256(classifier)} {classifier.plan} {classifier.classes}"
    if classifier.rejection is not None:
        network += f" {classifier.rejection}"
    key = hashlib.sha256(network.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    rows = prediction_table.PredictionTable(options.out, classes=classifier.classes, key=key)
    with contextlib.closing(rows):
        missing = rows.begin(videos)
        if kept := len({*videos}) - len(missing):
            told = f"going on with {kept} of {len({*videos})} videos in {rows.partial}"
            print(told, file=sys.stderr)
        results = predict(missing)  # of this process, with a bar on a terminal
        if on_cluster.is_connected() or not sys.stderr.isatty():
            names = {"description": "predicting", "unit": "video"}
            results = with_progress(results, total=len(missing), **names)
        for result in results:
            rows.add(result)
            yield result
        rows.finish()


def _report(result: VideoResult, options: PredictOptions) -> bool:
    """Prints what is said about a video; returns whether it could be read."""
    if result.reason:
        tqdm.write(f"error: {result.source}: {result.reason}", file=sys.stderr)
        return False
    if result.prediction.incomplete:
        tqdm.write(f"warning: {result.source}: {result.prediction.incomplete}", file=sys.stderr)
    for note in result.prediction.notes:
        tqdm.write(f"note: {result.source}: {note}", file=sys.stderr)
    if options.out is None:
        describe = json_line if options.json else table
        tqdm.write(describe(result.source, result.prediction, options.top_k))
    return True


def _check_outputs(options: PredictOptions, paths: Sequence[Path]):
    """Makes sure that nothing that is named to be read would be replaced."""
    for name in SUFFIXES:
        output = getattr(options, name)
        if output is None or not output.exists():
            continue
        for path in paths:
            if os.path.exists(path) and output.samefile(path):
                raise UserError(f"--{name} would replace {path} itself: name another file")


def _videos_of(path: Path) -> list[Path]:
    """Returns the file, or the videos of a list, or of a folder those in it and below it.

    Raises:
        UserError: if a folder or a list has none, or a list cannot be read.
    """
    is_folder = os.path.isdir(path)  # also of a name that the system refuses
    if path.suffix.lower() in LISTS and not is_folder:
        return _listed(path)
    if not is_folder:
        return [path]
    found = videos_below(path)
    if not found:
        raise UserError(f"{path} is a folder without videos: name video files, or a folder of them")
    return found


def _listed(path: Path) -> list[Path]:
    """Returns the paths that a list names, relative to the current folder."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            if path.suffix.lower() == ".txt":
                names = [line.strip() for line in stream]
            else:
                rows = csv.DictReader(stream)
                column = next((n for n in ("path", "video") if n in (rows.fieldnames or ())), None)
                if column is None:
                    raise UserError(f"{path} has no column path or video: {rows.fieldnames}")
                names = [row[column] or "" for row in rows]
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a list of videos: {reason_of(error)}") from error
    found = [Path(name) for name in names if name]
    if not found:
        raise UserError(f"{path} names no video: write a path a line")
    return found


def table(video: Path, prediction: Prediction, top_k: int) -> str:
    """Formats the best classes of a video, for people."""
    views = views_text(prediction.protocol)
    frames = "1 frame" if prediction.num_frames == 1 else f"{prediction.num_frames} frames"
    lines = [f"{video}: {frames}, {views}, SCI fusion"]
    if prediction.rejected:
        lines.append(f"  {prediction.novelty:6.3f}  {NONE}: its novelty is above the threshold")
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
            "novelty": prediction.novelty,
            "rejected": prediction.rejected,
            "clip_scores": prediction.clip_scores[:, :top_k].tolist(),
            "sci": prediction.sci.tolist(),
            "frames_used": prediction.pairs.tolist(),
            "seconds_used": prediction.times[prediction.pairs].tolist(),
            "protocol": prediction.protocol,
        }
    )


def watch(classifier: "ActionClassifier", options: PredictOptions):
    """Prints what is seen in every second of live video, until it ends or Ctrl-C."""

    def lost(reason: str):
        print(f"warning: {reason}", file=sys.stderr, flush=True)

    found = None
    try:
        for found in live.watch(classifier, LiveSource.parse(options.stream), lost=lost):
            print(live_line(found, options.top_k), flush=True)
    except VideoError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:  # which is how a stream ends; there is nothing to go on from
        sys.exit(130)
    finally:
        if found is not None:
            print(
                f"watched until {found.moment.end_s:.1f} s: {found.dropped_frames} late frames "
                f"dropped, {found.reconnections} times reconnected",
                file=sys.stderr,
            )


def live_line(found: live.LiveMoment, top_k: int) -> str:
    """Formats what is seen in a second, for programs."""
    moment = found.moment
    over = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=found.delay_s)
    return json.dumps(
        {
            "start_s": round(moment.start_s, 3),
            "end_s": round(moment.end_s, 3),
            "end_time": over.isoformat(timespec="milliseconds"),
            "classes": moment.classes[:top_k],
            "scores": moment.scores[:top_k].tolist(),
            "novelty": moment.novelty,
            "rejected": moment.rejected,
            "delay_s": round(found.delay_s, 3),
            "dropped_frames": found.dropped_frames,
            "reconnections": found.reconnections,
        }
    )


def write_over_time(
    classifier: "ActionClassifier", video: Path, options: PredictOptions, *, answer: str
):
    """Writes what is asked for of the video's seconds; `answer` is that of the whole video."""
    from training import annotation, figures  # Matplotlib takes long to import

    try:
        with isolated(video) as frames:
            seconds = list(classifier.timeline(frames))
        if options.annotate:
            with isolated(video, short_side=annotation.SHORT_SIDE) as frames:
                annotation.annotate(frames, seconds, options.annotate)
            print(f"wrote {options.annotate}", file=sys.stderr)
        if options.timeline:
            title = f"{video.name}, as a whole {answer}"
            figure = figures.draw_timeline(seconds, title=title, top_k=options.top_k)
            figures.save_figure(figure, options.timeline)
            print(f"wrote {options.timeline}", file=sys.stderr)
        if options.segments:
            cuts = segments.segments(seconds, min_s=options.min_segment)
            is_table = options.segments.suffix.lower() == ".csv"
            text = segments.to_csv(cuts) if is_table else segments.to_webvtt(cuts)
            atomic_write_text(options.segments, text)
            print(f"wrote {options.segments}", file=sys.stderr)
    except (VideoError, ValueError) as error:
        raise UserError(f"{video}: {error}") from error


if __name__ == "__main__":
    cli.run(main, PredictOptions, cluster_options=ClusterOptions)
