"""Pictures of a run: training curves, the confusion matrix, scores over a video."""

import csv
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from fstcn_keras.files import atomic_write
from fstcn_keras.prediction import Moment
from fstcn_keras.rejection import NONE
from training.judgement import second_class

PALETTE = (  # Okabe and Ito 2008, for all eyes; the yellow darkened for white ground
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#9A8F00",
)
DPI = 120
matplotlib.rcParams["text.parse_math"] = False  # names of classes and files are no formulas
# those installed of the fonts that have what Matplotlib's own lacks
FALLBACKS = {"Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS"}
matplotlib.rcParams["font.family"] = [
    "DejaVu Sans",
    *sorted(FALLBACKS.intersection(font_manager.get_font_names())),
]


def save_figure(figure: Figure, *files: Path):
    """Writes a figure to each file in the format of its suffix.

    Equal figures give equal bytes.
    """
    undated = {".png": {"Software": None}, ".svg": {"Date": None}}
    for file in files:
        suffix = file.suffix.lower()
        salt = {"svg.hashsalt": file.stem}
        with (
            matplotlib.rc_context(salt),
            atomic_write(file) as partial,
            warnings.catch_warnings(record=True) as caught,  # of each character that fonts lack
        ):
            warnings.simplefilter("always", UserWarning)
            figure.savefig(partial, dpi=DPI, format=suffix[1:], metadata=undated.get(suffix))
        if caught:
            print(
                f"{file}: {caught[0].message} ({len(caught)} warnings in all; for characters that "
                "are missing install a font such as Noto Sans CJK)"
            )


def add_caption(figure: Figure, text: str):
    """Writes the text below everything else, wrapped to the figure's width."""
    characters = round(17 * figure.get_figwidth())
    figure.supxlabel("\n".join(textwrap.wrap(text, characters)), fontsize=8, x=0.01, ha="left")


def short_name(name: str, length: int = 40) -> str:
    """Returns the beginning and the end of a name that has more characters than this.

    Names of any length would leave no room in a picture for what they name.
    """
    if len(name) <= length:
        return name
    end = (length - 1) // 2
    return f"{name[: length - 1 - end]}…{name[-end:]}"


def draw_curves(history: Path, *, caption: str) -> Figure:
    """Loss and accuracy over the epochs of each stage, training and held-out videos."""
    with history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure = Figure(figsize=(9, 3.2 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), 2, squeeze=False)
    for stage, pair in zip(stages, grid, strict=True):
        stage_rows = [row for row in rows if row["stage"] == stage]
        epochs = [int(row["epoch"]) + 1 for row in stage_rows]
        labels = {"loss": "cross-entropy", "top1": "top-1 accuracy"}
        for axes, (name, label) in zip(pair, labels.items(), strict=True):
            of = {name: "training samples", f"val_{name}": "held-out videos, centre crop"}
            for column, text in of.items():
                if stage_rows[0].get(column):
                    values = [float(row[column]) for row in stage_rows]
                    axes.plot(epochs, values, ".-", label=text)
            axes.set(xlabel=f"epoch of stage {stage}", ylabel=label)
            axes.grid(alpha=0.3)
            axes.legend()
    add_caption(figure, caption)
    return figure


def draw_confusion(
    labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...], *, caption: str
) -> Figure:
    """Draws the row-normalised confusion matrix, true classes down, predicted ones across.

    The numbers in it count videos.
    """
    num_classes, names = len(classes), [short_name(name) for name in classes]
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    dense = num_classes > 40
    size = 7 if dense else 10
    side = (0.16 if dense else 0.28) * num_classes
    side += 2.5 + size / 120 * max(map(len, names))  # a letter is 0.6 of its size wide
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, label="share of the true class's videos", shrink=0.8)
    axes.set_xticks(range(num_classes), names, rotation=90, fontsize=size)
    axes.set_yticks(range(num_classes), names, fontsize=size)
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        style = {"ha": "center", "va": "center", "color": colour, "fontsize": size - 3}
        axes.text(column, row, counts[row, column], **style)
    axes.set(xlabel="predicted", ylabel="true")
    add_caption(figure, caption)
    return figure


def draw_roc(
    scores: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], *, caption: str
) -> Figure:
    """Draws the ROC curve of the second of two classes.

    Args:
        scores: of the test videos, fused by SCI, `(V, 2)`.
        labels: int `(V,)`, both of them among it.
        classes: names of the two.
        caption: what is written below.
    """
    from sklearn.metrics import roc_auc_score, roc_curve  # takes a second

    share = second_class(scores)
    false_rates, true_rates, _ = roc_curve(labels, share, drop_intermediate=False)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey", label="chance")
    area = roc_auc_score(labels, share)
    axes.plot(false_rates, true_rates, ".-", color=PALETTE[0], label=f"area {area:.3f}")
    axes.set(xlabel=f"share of {classes[0]} taken for {classes[1]}", aspect="equal")
    axes.set(ylabel=f"share of {classes[1]} recognised")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    add_caption(figure, caption)
    return figure


def draw_timeline(seconds: Sequence[Moment], *, title: str, top_k: int) -> Figure:
    """Scores of the classes that are best somewhere in a video, over its seconds.

    Grey are the seconds that are refused as none of the classes.

    Args:
        seconds: the seconds of the video, at least one.
        title: what stands above the figure.
        top_k: how many classes to draw, those with the highest scores.
    """
    scores = {name: [] for name in sorted(seconds[0].classes)}
    for moment in seconds:
        for name, score in zip(moment.classes, moment.scores, strict=True):
            scores[name].append(score)
    drawn = sorted(scores, key=lambda name: -max(scores[name]))[:top_k]
    edges = [moment.start_s for moment in seconds] + [seconds[-1].end_s]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(drawn):
        axes.stairs(
            scores[name],
            edges,
            baseline=None,
            linewidth=2,
            color=PALETTE[number % 8],
            linestyle=("-", "--", ":")[number // 8 % 3],
            label=name,
        )
    for number, moment in enumerate(moment for moment in seconds if moment.rejected):
        style = {"color": "grey", "alpha": 0.3, "linewidth": 0}
        axes.axvspan(moment.start_s, moment.end_s, label=NONE if number == 0 else None, **style)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1.02), xlabel="time, s", title=title)
    axes.set_ylabel("score of one clip, 18 crops")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
