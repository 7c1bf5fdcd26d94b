"""Evaluate a run on its split's test videos: python -m training.evaluate RUN

Scores M clips x 18 crops of every test video and fuses them (section 2.4 of the paper).
Writes metrics.json, scores.npz and confusion.png into the run folder, in the place of those that
are there. Of a folder of `fit --split all` it evaluates the run of every split.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from fstcn_keras import ActionClassifier, ViewPlan, fusion
from fstcn_keras.files import atomic_write, atomic_write_text
from fstcn_keras.runs import chosen_run
from fstcn_keras.video.frames import view_frames
from fstcn_keras.views.plan import SCORING_MODES
from training import cli, figures, splits
from training.cli import UserError, option, positional
from training.data.collections import Dataset, Video
from training.data.preparation import write_rejected
from training.data.store import FrameStore
from training.leakage import check_unseen
from training.locks import locked
from training.options import CONFIG, FitOptions, open_data, read_config
from training.scores import all_accuracies, views_text

VIEWS_HELP = "shared cuts a video's crops from feature maps of whole frames: faster, not the same"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate."""

    run: Path | None = positional(
        "folder of a training run (default: the newest finished one under runs/)", default=None
    )
    views: Literal[SCORING_MODES] = option("exact", VIEWS_HELP)


def main(options: EvaluateOptions):
    """Repeats the evaluation of a run, or of one run for each split."""
    run = chosen_run(options.run)
    fit_options = read_config(run / CONFIG)
    fit_options = dataclasses.replace(fit_options, out=run)  # it may have been moved
    for run_options in fit_options.each_split():
        evaluate_again(run_options, options.views)
    if fit_options.split == "all":
        splits.summarise(run)


def evaluate_again(options: FitOptions, views: str | None = None):
    """Evaluates the trained network of a run of one split; `views` as for `evaluate`."""
    run = options.run_folder()
    plan = load_classifier(run).plan
    dataset, store = open_data(options, options.store, short_side=plan.short_side)
    with locked(run, "trains"):  # a training writes the same files
        report_rejected(store, run)
        evaluate(run, dataset, store, views=views)
    print_metrics(run)


def load_classifier(run: Path, *, views: str | None = None) -> ActionClassifier:
    """The run's trained network; `views` is `mode` of `ActionClassifier.load`.

    Raises:
        UserError: if the run has none.
    """
    try:
        return ActionClassifier.load(run, mode=views)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run} holds no trained network: {error}") from error


def report_rejected(store: FrameStore, run: Path):
    """Says what could not be decoded, or not wholly; the list goes to the run's `rejected.csv`."""
    write_rejected(run / "rejected.csv", store.videos.values())
    flagged = [stored for stored in store.videos.values() if stored.reason]
    rejected = sum(stored.num_frames == 0 for stored in flagged)
    if flagged:
        print(
            f"{rejected} videos could not be decoded, {len(flagged) - rejected} only in part: "
            f"see {run / 'rejected.csv'}"
        )


def check_test_videos(dataset: Dataset, store: FrameStore, run: Path) -> list[Video]:
    """The test videos that can be decoded.

    Raises:
        UserError: if there is none, or the run has seen one of them in training.
    """
    listed = dataset.side("test")
    if not listed and not dataset.missing:
        raise UserError(
            f"{dataset.root}: split {dataset.split} has no test video: either its lists name none, "
            "or all videos of each class look alike or are of one source"
        )
    check_unseen(run, listed)
    videos = [video for video in listed if store.videos[video.path].num_frames]
    if not videos:
        raise UserError(
            f"{dataset.root}: none of {len(listed)} test videos of split {dataset.split} can be "
            f"decoded, {len(dataset.missing)} listed files are missing; there is nothing to judge "
            "a network by"
        )
    return videos


def check_network_classes(classifier: ActionClassifier, dataset: Dataset):
    """Makes sure that the network's classes are those of the data.

    Raises:
        UserError: if they are not.
    """
    if classifier.classes != dataset.classes:
        raise UserError(
            f"the network knows {len(classifier.classes)} classes, the data has "
            f"{len(dataset.classes)} or others"
        )


def evaluate(run: Path, dataset: Dataset, store: FrameStore, *, views: str | None = None):
    """Scores every test video of the split and writes the results into the run folder.

    Args:
        run: the folder.
        dataset: whose test videos are scored.
        store: where their frames are.
        views: `mode` of `ActionClassifier.load`.

    Raises:
        UserError: if there is no usable test video, or the classes are not the network's.
    """
    classifier = load_classifier(run, views=views)
    check_network_classes(classifier, dataset)
    videos = check_test_videos(dataset, store, run)
    print(f"scoring {len(videos)} test videos{_instead(run, classifier.plan)}", flush=True)
    scores = np.stack(
        [
            score_video(classifier, store, video.path)
            for video in tqdm(
                videos, "scoring test videos", unit="video", leave=False, disable=None
            )
        ]
    )  # (V, M, C, N)
    labels = np.array([video.label for video in videos])
    paths = np.array([video.path for video in videos])
    (run / "metrics.json").unlink(missing_ok=True)  # it is of the scores that were
    with atomic_write(run / "scores.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, scores=scores, labels=labels, paths=paths)
    accuracies = all_accuracies(scores, labels)
    metrics = {
        "video": accuracies["video"],
        "clip": accuracies["clip"]["sci"],
        "protocol": {
            "dataset": dataset.name,
            "split": dataset.split,
            "num_classes": len(dataset.classes),
            "absent_classes": list(dataset.absent_classes),
            "num_clips": scores.shape[1],
            "num_crops": scores.shape[2],
            "videos": len(videos),
            "missing": sum(video.side == "test" for video in dataset.missing),
            "rejected": len(dataset.side("test")) - len(videos),
            "views": classifier.plan.mode,
            "precision": classifier.model.dtype_policy.name,
            "weights_sha256": weights_sha256(classifier),
        },
    }
    confusion = figures.draw_confusion(
        labels,
        fusion.fuse(scores).argmax(axis=-1),
        dataset.classes,
        caption=f"{dataset.name} split {dataset.split}: {len(videos)} test videos, "
        f"{views_text(metrics['protocol'])}, SCI fusion",
    )
    figures.save_figure(confusion, run / "confusion.png")
    atomic_write_text(run / "metrics.json", json.dumps(metrics, indent=1))


def _instead(run: Path, plan: ViewPlan) -> str:
    """Names the views of the results that the run has, if the new ones will be of others."""
    try:
        views = json.loads((run / "metrics.json").read_text())["protocol"]["views"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return "" if views == plan.mode else f"; the results replace those of {views} views"


def weights_sha256(classifier: ActionClassifier) -> str:
    """Hash of all weights, in the network's order, as little-endian bytes."""
    digest = hashlib.sha256()
    for value in classifier.model.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def score_video(classifier: ActionClassifier, store: FrameStore, path: str) -> np.ndarray:
    """Computes the class probabilities of all views of a stored video, float32 `(M, C, N)`."""
    video = view_frames(store.reader(path), classifier.plan)
    return classifier.score_views(video.frames, video.positions)


def print_metrics(run: Path):
    """The run's accuracies with their protocol, as a table."""
    try:
        lines = metrics_lines(json.loads((run / "metrics.json").read_text()))
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{run / 'metrics.json'} is damaged ({error!r}): 'python -m training.evaluate {run}' "
            "makes it anew"
        ) from error
    print(*lines, f"results in {run}", sep="\n")


def metrics_lines(metrics: dict) -> list[str]:
    """The lines of `print_metrics`, of what `metrics.json` holds."""
    protocol = metrics["protocol"]
    lines = [
        f"{protocol['dataset']} split {protocol['split']}: {protocol['videos']} test videos of "
        f"{protocol['num_classes']} classes ({protocol['missing']} listed but missing, "
        f"{protocol['rejected']} could not be decoded), "
        f"{views_text(protocol)}",
        f"{'':34}top-1   top-5   mean class",
    ]
    rows = {
        "video, SCI fusion": metrics["video"]["sci"],
        "video, averaging": metrics["video"]["average"],
        "video, one clip, centre crop": metrics["video"]["single"],
        "clip, SCI over its crops": metrics["clip"],
    }
    for name, row in rows.items():
        shares = " ".join(f"{row[measure]:7.1%}" for measure in ("top1", "top5", "mean_class"))
        lines.append(f"  {name:30}{shares}")
    return lines


if __name__ == "__main__":
    cli.run(main, EvaluateOptions)
