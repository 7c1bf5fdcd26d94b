"""Figure 4 of the paper: python -m analysis.tsne [RUN] [--classes smile,laugh,...]

t-SNE maps of the features of the network's two paths and of both together, with numbers that the
maps cannot flatter. Writes tsne.png, tsne.svg, tsne.json and tsne.html, where a point shows its
video, into RUN/figures. The features are kept in RUN/features-test.npz.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.confusion import most_confused, soft_confusion
from analysis.embedding import COMPONENTS, Map, embed
from analysis.features import FEATURES, VideoFeatures, video_features
from analysis.page import embedded_thumbnail, marker_path, write_page
from analysis.runs import FigureOptions, OpenRun, figures_folder, network_text, open_run
from analysis.separation import Separation, separation
from analysis.style import PALETTE, class_styles
from fstcn_keras.clips import NUM_CROPS
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder, chosen_run
from training import cli
from training.class_names import join_names, split_names
from training.errors import UserError
from training.figures import add_caption, save_figure, short_name
from training.networks import weights_sha256
from training.parts import option
from training.scores import views_text

PAPER_CLASSES = ("smile", "laugh", "chew", "talk", "eat", "smoke", "drink")  # of Figure 4
SEEDS = range(5)
LEGEND_ROWS = 21  # of the figure's height


@dataclass(frozen=True, kw_only=True)
class TsneOptions(FigureOptions):
    """What to map."""

    classes: str | None = option(
        None,
        "names with commas between (default: those of the paper's Figure 4 if the data has "
        f"them, else the {len(PALETTE)} that are confused most, by mean probability)",
    )
    split: Literal["test", "train"] = option("test", "which videos of the run's split")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of the layers: its map and its measures."""

    layer: str
    map: Map
    separation: Separation


def main(options: TsneOptions):
    """Maps the features of a run's videos and measures how well they separate the classes."""
    run = open_run(RunFolder(chosen_run(options.run)))
    folder = figures_folder(run.folder, options.out)
    videos = video_features(run, options.split)
    labels = choose_classes(options.classes, run.dataset.classes, videos)
    shown = class_subset(videos, labels)
    groups = {video.path: video.group for video in run.dataset.videos}
    sources = [groups[path] for path in shown.paths]
    panels = [
        Panel(
            layer=layer,
            map=embed(features, seeds=SEEDS),
            separation=separation(features, shown.labels, sources, seed=SEEDS[0]),
        )
        for layer, features in shown.features.items()
    ]
    caption = caption_text(run, shown, options.split, panels)
    save_figure(
        draw(panels, shown, run.dataset.classes, caption), folder / "tsne.png", folder / "tsne.svg"
    )
    atomic_write_text(folder / "tsne.json", json.dumps(record(run, panels, caption), indent=1))
    write_map_page(folder / "tsne.html", run, shown, panels, caption)
    print_table(panels, caption)
    print(f"results in {folder / 'tsne'}.png, .svg, .json and .html")


def choose_classes(names: str | None, classes: tuple[str, ...], videos: VideoFeatures) -> list[int]:
    """Labels of the classes to show.

    Raises:
        UserError: for an unknown class, a class with one video, or fewer than two classes.
    """
    counts = np.bincount(videos.labels, minlength=len(classes))
    if names is None:
        enough = [label for label in range(len(classes)) if counts[label] > 1]
        if all(name in classes and counts[classes.index(name)] > 1 for name in PAPER_CLASSES):
            return [classes.index(name) for name in PAPER_CLASSES]
        if len(enough) < 2:
            raise UserError(
                f"{len(enough)} of the {len(classes)} classes have two videos or more among these "
                f"{len(videos.labels)}; two are needed to see how they are apart: --split chooses "
                "the videos of the other side"
            )
        confusion = soft_confusion(videos.probabilities, videos.labels)
        return most_confused(confusion, len(PALETTE), enough)
    chosen = split_names(names)
    if unknown := [name for name in chosen if name not in classes]:
        raise UserError(
            f"--classes: the run knows no class {unknown[0]!r}; its classes are "
            f"{join_names(classes)}"
        )
    if few := [name for name in chosen if counts[classes.index(name)] < 2]:
        raise UserError(
            f"--classes: only {counts[classes.index(few[0])]} of the videos is of {few[0]}; a "
            "class needs two or more to be measured: leave it out"
        )
    if len(chosen) < 2:
        raise UserError(f"--classes must name two classes or more, got {names!r}")
    return [classes.index(name) for name in chosen]


def class_subset(videos: VideoFeatures, labels: list[int]) -> VideoFeatures:
    """The videos of some classes alone."""
    kept = np.isin(videos.labels, labels)
    return dataclasses.replace(
        videos,
        paths=tuple(path for path, keep in zip(videos.paths, kept, strict=True) if keep),
        labels=videos.labels[kept],
        features={name: values[kept] for name, values in videos.features.items()},
        probabilities=videos.probabilities[kept],
        scores=videos.scores[kept],
    )


def caption_text(run: OpenRun, shown: VideoFeatures, side: str, panels: list[Panel]) -> str:
    """What the maps show, and how they were made."""
    kind = {"test": "test", "train": "training"}[side]
    total = len(run.videos(side))
    seeds = ", ".join(str(panel.map.seed) for panel in panels)
    views = run.classifier.plan.settings() | {"num_crops": NUM_CROPS}
    return (
        f"{run.dataset.name} {run.dataset.part}: {len(shown.paths)} of {total} {kind} "
        f"videos, those of {len(np.unique(shown.labels))} of {len(run.dataset.classes)} classes; "
        f"features are means over {views_text(views)}; "
        f"{network_text(run.options)}. PCA to at most {COMPONENTS} dimensions, then t-SNE of "
        f"perplexity {panels[0].map.perplexity:.3g}, from {len(SEEDS)} random seeds ({SEEDS[0]} "
        f"to {SEEDS[-1]}) the one of lowest divergence (seeds {seeds}). k-NN: of the videos cut "
        "from other sources."
    )


def draw(
    panels: list[Panel], shown: VideoFeatures, classes: tuple[str, ...], caption: str
) -> Figure:
    """The maps side by side, with one legend and their measures."""
    styles = styles_of(shown, classes)
    columns = -(-len(styles) // LEGEND_ROWS)
    entry = 0.5 + 0.075 * max(len(short_name(name)) for name in styles)  # inches
    width = 4 * len(panels) + max(2, columns * entry)
    figure = Figure(figsize=(width, 4.9), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, (colour, marker) in styles.items():
            points = panel.map.points[shown.labels == classes.index(name)]
            axes.scatter(
                *points.T, c=colour, marker=marker, s=30, linewidths=0.4, edgecolors="white"
            )
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(FEATURES[panel.layer], fontsize=10)
        measures = panel.separation
        axes.set_xlabel(
            f"{measures.neighbours}-NN {measures.knn_text}, silhouette {measures.silhouette:.2f}, "
            f"v-measure {measures.v_measure:.2f}",
            fontsize=9,
        )
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=short_name(name))
        for name, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=9, ncols=columns)
    add_caption(figure, caption)
    return figure


def styles_of(shown: VideoFeatures, classes: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each class that is shown."""
    return class_styles([classes[label] for label in np.unique(shown.labels)])


def record(run: OpenRun, panels: list[Panel], caption: str) -> dict:
    """The measures of each layer, and what they are of."""
    return {
        "caption": caption,
        "weights_sha256": weights_sha256(run.classifier),
        "layers": {
            panel.layer: {
                **dataclasses.asdict(panel.separation),
                "trustworthiness": panel.map.trustworthiness,
                "procrustes": panel.map.procrustes,
            }
            for panel in panels
        },
    }


def print_table(panels: list[Panel], caption: str):
    """The measures in the features' own space, and how stable the maps are."""
    print(caption)
    neighbours = f"{panels[0].separation.neighbours}-NN"
    print(f"{'':40}{neighbours:>8} silhouette v-measure | map: trustworthiness Procrustes")
    for panel in panels:
        measures = panel.separation
        print(
            f"  {FEATURES[panel.layer]:38}{measures.knn_text:>8}{measures.silhouette:11.3f}"
            f"{measures.v_measure:10.3f} |{panel.map.trustworthiness:21.3f}"
            f"{panel.map.procrustes:11.3f}"
        )


def write_map_page(
    file: Path, run: OpenRun, shown: VideoFeatures, panels: list[Panel], caption: str
):
    """The maps as a page where a point shows the middle frame and the names of its video."""
    classes = run.dataset.classes
    styles = styles_of(shown, classes)
    videos = [
        {
            "path": path,
            "true": classes[label],
            "predicted": classes[predicted],
            "frame": embedded_thumbnail(run.middle_frame(path)),
        }
        for path, label, predicted in zip(
            shown.paths, shown.labels, shown.scores.argmax(axis=-1), strict=True
        )
    ]
    legend = [
        {"name": name, "colour": colour, "path": marker_path(marker)}
        for name, (colour, marker) in styles.items()
    ]
    write_page(
        file,
        "tsne.html",
        title=f"t-SNE of {run.folder.path.name}",
        caption=caption,
        legend=legend,
        videos=videos,
        symbols=[list(styles).index(video["true"]) for video in videos],
        panels=[
            {
                "title": FEATURES[panel.layer],
                "points": unit_square(panel.map.points).tolist(),
                "separation": panel.separation,
                "map": panel.map,
            }
            for panel in panels
        ],
    )


def unit_square(points: np.ndarray) -> np.ndarray:
    """The points moved and scaled, alike in both directions, to lie in 0.03 to 0.97."""
    low, high = points.min(axis=0), points.max(axis=0)
    centred = (points - (low + high) / 2) / max((high - low).max(), 1e-12)
    return 0.5 + 0.94 * centred


if __name__ == "__main__":
    cli.run(main, TsneOptions)
