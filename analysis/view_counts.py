"""Accuracy against the number of clips and crops of a video."""

import numpy as np
from matplotlib.figure import Figure

from analysis.style import class_styles
from fstcn_keras import fusion
from fstcn_keras.clips import NUM_CROPS
from fstcn_keras.fusion import CENTER_CROP, center_crop
from training.figures import add_caption
from training.scores import accuracies

OF_MANY = ("sci", "average")  # methods of fusion that use all views
MOST_TICKS = 13  # of clips
CROPS = {  # of the 18 of `clips.crops`
    "centre crop": [CENTER_CROP],
    "centre crop and its mirror image": [CENTER_CROP, CENTER_CROP + 9],
    "9 crops": list(range(9)),
    "18 crops": list(range(NUM_CROPS)),
}

TopOnes = dict[str, dict[str, list[float]]]  # by method of fusion and crops, for 1 to M clips


def accuracy_by_views(scores: np.ndarray, labels: np.ndarray) -> TopOnes:
    """Top-1 accuracy of a part of the views, for every number of clips.

    m of the M clips are those nearest to an even spread from the first to the last; one is the
    middle one.

    Args:
        scores: of all views, `(V, M, C, N)`.
        labels: int `(V,)`.
    """
    views = parts_of(scores.shape[2])
    chosen = [spread(scores.shape[1], number) for number in range(1, scores.shape[1] + 1)]
    return {
        method: {
            name: [
                accuracies(fusion.fuse(scores[:, clips][:, :, crops], method), labels)["top1"]
                for clips in chosen
            ]
            for name, crops in views.items()
        }
        for method in OF_MANY
    }


def parts_of(num_crops: int) -> dict[str, list[int]]:
    """The parts of the views of a clip, by name: `CROPS`, or of encoded views these alone."""
    if num_crops == NUM_CROPS:
        return CROPS
    return {"centre": [center_crop(num_crops)], f"{num_crops} views": list(range(num_crops))}


def spread(total: int, number: int) -> list[int]:
    """So many of `total` clips, evenly spread."""
    if number == 1:
        return [total // 2]
    return np.floor(np.linspace(0, total - 1, number) + 0.5).astype(int).tolist()


def draw_views(by_fusion: TopOnes, caption: str) -> Figure:
    """Accuracy over the number of clips, a line for each set of crops, a panel for each fusion."""
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    for axes, (method, by_crops) in zip(
        figure.subplots(1, len(by_fusion), sharey=True), by_fusion.items(), strict=True
    ):
        styles = class_styles(list(by_crops))
        for place, (name, values) in enumerate(by_crops.items()):
            colour, marker = styles[name]
            numbers = np.arange(1, len(values) + 1)
            beside = numbers + 0.06 * (place - 1.5)  # equal values do not hide one another
            axes.plot(beside, values, color=colour, marker=marker, label=name)
            axes.set_xticks(numbers[:: -(-len(numbers) // MOST_TICKS)])
        axes.set_title(fusion.LABELS[method])
        axes.set_xlabel("clips of a video")
        axes.yaxis.set_major_formatter("{x:.1%}")
        axes.grid(alpha=0.3)
        axes.label_outer()
    low, high = axes.get_ylim()
    axes.set_ylim(max(0, low - 0.05), min(1.005, high + 0.05))  # one video is no precipice
    axes.legend(fontsize=8, loc="lower right")
    figure.supylabel("top-1 accuracy")
    add_caption(figure, caption)
    return figure
