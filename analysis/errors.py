"""What a run gets wrong: python -m analysis.errors [RUN]

From the scores of all test videos: the confusion matrix, similar classes side by side; the
accuracy of each class with its interval; the worst mistakes and what misled it; how far the scores
can be taken as probabilities; accuracy against the number of views. Writes confusion.png,
class_accuracy.png, mistakes.jpg, reliability.png, views.png, errors.json and mistakes.json with the
folder mistakes into RUN/figures.
"""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.calibration import Reliability, draw_reliability, error_text, reliability
from analysis.confusion import confused_pairs, similarity_order, soft_confusion
from analysis.mistakes import draw_mistakes
from analysis.runs import FigureOptions, figures_folder, protocol_text, read_options
from analysis.style import PALETTE
from analysis.view_counts import OF_MANY, TopOnes, accuracy_by_views, draw_views
from fstcn_keras import fusion
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder, chosen_run
from training import cli
from training.figures import add_caption, draw_confusion, save_figure, short_name
from training.scores import RunScores, read_scores
from training.statistics import Share, share_of

WORST_PAIRS = 20


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What a run gets wrong, by SCI fusion unless said otherwise.

    Attributes:
        caption: what it was measured on.
        weights_sha256: hash of the weights that it was measured with.
        top1: accuracy by method of fusion.
        classes: accuracy by class, of those with test videos.
        pairs: mistakes as true class, predicted class, videos; the most frequent first.
        calibration: by method of fusion.
        views: accuracy by method of fusion, crops and clips.
    """

    caption: str
    weights_sha256: str
    top1: dict[str, Share]
    classes: dict[str, Share]
    pairs: list[tuple[str, str, int]]
    calibration: dict[str, Reliability]
    views: TopOnes


def main(options: FigureOptions):
    """Draws and lists the mistakes of a run."""
    run = RunFolder(chosen_run(options.run))
    fit_options = read_options(run)
    scores = read_scores(run)
    errors = find_errors(scores, protocol_text(scores, fit_options))
    folder = figures_folder(run, options.out)
    save_figure(draw_ordered_confusion(scores, errors.caption), folder / "confusion.png")
    save_figure(draw_class_accuracy(errors), folder / "class_accuracy.png")
    save_figure(draw_reliability(errors.calibration, errors.caption), folder / "reliability.png")
    one_video = f"{errors.caption}. One video is {1 / errors.top1['sci'].videos:.1%}."
    save_figure(draw_views(errors.views, one_video), folder / "views.png")
    text = json.dumps(dataclasses.asdict(errors), default=np.ndarray.tolist, indent=1)
    atomic_write_text(folder / "errors.json", text)  # by which `report` takes the pictures
    print_errors(errors)
    draw_mistakes(scores, errors.caption, folder)  # last: it alone needs the videos
    print(f"results in {folder}: errors.json and the figures")


def find_errors(scores: RunScores, caption: str) -> Errors:
    """Counts the mistakes of a run in every way."""
    labels = scores.labels
    fused = {method: fusion.fuse(scores.scores, method) for method in OF_MANY}
    right = {method: values.argmax(axis=-1) == labels for method, values in fused.items()}
    sources = np.array(scores.sources)
    present = np.unique(labels)
    return Errors(
        caption=caption,
        weights_sha256=scores.protocol["weights_sha256"],
        top1={method: share_of(values, sources) for method, values in right.items()},
        classes={
            scores.classes[c]: share_of(right["sci"][labels == c], sources[labels == c])
            for c in present
        },
        pairs=[
            (scores.classes[true], scores.classes[predicted], videos)
            for true, predicted, videos in confused_pairs(labels, fused["sci"].argmax(axis=-1))
        ],
        calibration={method: reliability(values, labels) for method, values in fused.items()},
        views=accuracy_by_views(scores.scores, labels),
    )


def draw_ordered_confusion(scores: RunScores, caption: str) -> Figure:
    """The confusion matrix by SCI fusion with similar classes side by side."""
    average = fusion.fuse(scores.scores, "average")
    order = similarity_order(soft_confusion(average, scores.labels))
    place = np.argsort(order)
    return draw_confusion(
        place[scores.labels],
        place[fusion.fuse(scores.scores).argmax(axis=-1)],
        tuple(scores.classes[label] for label in order),
        caption=f"{caption}. SCI fusion; similar classes stand together.",
    )


def draw_class_accuracy(errors: Errors) -> Figure:
    """Accuracy of each class with its interval, the best on top."""
    classes = sorted(errors.classes.items(), key=lambda item: (item[1].share, item[1].videos))
    shares = [share for _, share in classes]
    values = np.array([share.share for share in shares])
    ends = np.array([[share.low, share.high] for share in shares]).T
    figure = Figure(figsize=(7.5, 1.8 + 0.24 * len(classes)), layout="constrained")
    axes = figure.subplots()
    places = range(len(classes))
    axes.hlines(places, *ends, color=PALETTE[5], linewidth=4, label="interval, 95 %")
    axes.plot(values, places, "o", color=PALETTE[0], label="accuracy")
    whole = errors.top1["sci"]
    axes.axvline(whole.share, color="grey", linestyle="--", label=f"all videos: {whole.share:.1%}")
    names = [f"{short_name(name)}  {share.right}/{share.videos}" for name, share in classes]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(-0.7, len(classes) - 0.3)
    axes.set_xlim(-0.01, 1.01)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of the class's test videos that are right")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    add_caption(figure, f"{errors.caption}; SCI fusion")
    return figure


def print_errors(errors: Errors):
    """The accuracies, their intervals, calibration and the worst pairs."""
    print(errors.caption)
    for method, share in errors.top1.items():
        print(
            f"  {fusion.LABELS[method]:11} top-1 {share.share:6.1%} "
            f"(95 % interval {share.low:.1%} to {share.high:.1%}), "
            f"{error_text(errors.calibration[method])}"
        )
    print(f"mistakes: {sum(videos for *_, videos in errors.pairs)}; most frequent:")
    for true, predicted, videos in errors.pairs[:WORST_PAIRS]:
        print(f"  {videos:3} of {errors.classes[true].videos:3} {true} taken for {predicted}")


if __name__ == "__main__":
    cli.run(main, FigureOptions)
