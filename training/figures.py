"""Pictures of a run: training curves, the confusion matrix, scores over a video."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fstcn_keras.prediction import Moment
from training.files import aside

# Okabe and Ito's, which the colour-blind can tell apart
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000")


def draw_curves(history: Path, target: Path):
    """Loss and accuracy over the epochs of each stage, training and held-out videos, as PNG."""
    with history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure = Figure(figsize=(9, 3.2 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), 2, squeeze=False)
    for stage, pair in zip(stages, grid, strict=True):
        of_stage = [row for row in rows if row["stage"] == stage]
        epochs = [int(row["epoch"]) + 1 for row in of_stage]
        for axes, (name, label) in zip(
            pair, {"loss": "cross-entropy", "top1": "top-1 accuracy"}.items(), strict=True
        ):
            axes.plot(epochs, [float(row[name]) for row in of_stage], label="training samples")
            if of_stage[0].get(f"val_{name}"):
                held_out = [float(row[f"val_{name}"]) for row in of_stage]
                axes.plot(epochs, held_out, label="held-out videos, centre crop")
            axes.set_xlabel(f"epoch of stage {stage}")
            axes.set_ylabel(label)
            axes.grid(alpha=0.3)
            axes.legend()
    figure.savefig(target, dpi=120)


def draw_confusion(
    labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...], *, title: str, target: Path
):
    """Row-normalised confusion matrix, true classes down, predicted ones across, as PNG."""
    num_classes = len(classes)
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3 + 0.28 * num_classes
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, label="share of the true class's videos", shrink=0.8)
    axes.set_xticks(range(num_classes), classes, rotation=90)
    axes.set_yticks(range(num_classes), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    figure.savefig(target, dpi=120)


def draw_timeline(moments: Sequence[Moment], *, title: str, top_k: int, target: Path):
    """Scores of the classes that are best somewhere in a video, over its seconds.

    Args:
        moments: the seconds of the video, at least one.
        title: what stands above the figure.
        top_k: how many classes to draw, those with the highest scores.
        target: file to write; its suffix says in what format.
    """
    scores = {name: [] for name in sorted(moments[0].classes)}
    for moment in moments:
        for name, score in zip(moment.classes, moment.scores, strict=True):
            scores[name].append(score)
    drawn = sorted(scores, key=lambda name: -max(scores[name]))[:top_k]
    edges = [moment.start_s for moment in moments] + [moments[-1].end_s]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(drawn):
        axes.stairs(
            scores[name],
            edges,
            baseline=None,
            linewidth=2,
            color=COLOURS[number % 8],
            linestyle=("-", "--", ":")[number // 8 % 3],
            label=name,
        )
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1.02), xlabel="time, s", title=title)
    axes.set_ylabel("score of one clip, 18 crops")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    with aside(target) as partial:
        figure.savefig(partial, dpi=120, format=target.suffix[1:])
