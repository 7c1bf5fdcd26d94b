"""Figure 5 of the paper: python -m analysis.saliency [RUN] VIDEO, or --classes smile,clap,...

Shows where, and in the differences also when, the network sees a class, and what such a map is
worth: deletion and insertion curves, and its likeness to maps of the same network with random
weights. Of a video the predicted class is explained (--target: another one), with all its clips
in an animation; of --classes the test video of each class that scores best for it. Writes a PNG
and a JSON file into RUN/figures.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.runs import FigureOptions, figures_folder, network_text, read_options
from fstcn_keras import fusion
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder, chosen_run, run_and_files
from training import cli
from training.class_names import join_names, split_names
from training.data.collections import load_dataset
from training.errors import UserError
from training.figures import save_figure
from training.networks import load_classifier, weights_sha256
from training.parts import option, positional
from training.scores import read_scores

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier

METHOD_TEXTS = {
    "gradient": "Gradient",
    "guided": "Guided back-propagation",
    "smoothgrad": "SmoothGrad ({samples} copies, noise {noise:.0%} of the range, seed {seed})",
    "integrated_gradients": "Integrated gradients (from the mean colour and no difference)",
}


@dataclass(frozen=True, kw_only=True)
class SaliencyOptions(FigureOptions):
    """What to explain, and how."""

    video: Path | None = positional("the video file", default=None)
    classes: str | None = option(None, "names with commas between, instead of a video")
    target: str | None = option(None, "class that is explained (default: the predicted one)")
    method: Literal[tuple(METHOD_TEXTS)] = option(
        "gradient", "how pixels are credited with the score"
    )
    samples: int = option(25, "smoothgrad: noisy copies")
    noise: float = option(0.15, "smoothgrad: deviation, relative to the range of the pixels")
    animation: Literal["gif", "mp4", "none"] = option("gif", "kind of animation, of a video alone")
    seed: int = option(0, "of noise, random orders and random weights")

    def __post_init__(self):
        if self.samples < 1:
            raise UserError(f"--samples must be positive, got {self.samples}")
        if not 0 <= self.noise < math.inf:
            raise UserError(f"--noise must be finite and not negative, got {self.noise}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must lie in [0, 2^31), got {self.seed}")

    def settings(self) -> dict:
        """Arguments of the method."""
        if self.method != "smoothgrad":
            return {}
        return {"samples": self.samples, "noise": self.noise, "seed": self.seed}


def main(options: SaliencyOptions):
    """Explains one video, or the best test video of some classes."""
    given = [path for path in (options.run, options.video) if path]
    if options.classes is None:
        folder, files = run_and_files(given)
    else:
        folder, files = chosen_run(options.run), given[1:]
    run = RunFolder(folder)
    check_source(files, options)
    fit_options = read_options(run)
    classifier = load_classifier(run)
    if files:
        labels = [None if options.target is None else label_of(options.target, classifier)]
    else:
        labels, files = best_videos(run, classifier, options.classes)

    from analysis import saliency_maps as maps  # TensorFlow: not before the options are sound
    from analysis.explanation import Explainer
    from analysis.overlays import draw_classes, draw_video

    explainer = Explainer(
        classifier,
        method=options.method,
        seed=options.seed,
        on_demo=fit_options.collection.dataset == "demo",
        settings=options.settings(),
    )
    explanations = []
    for file, label in zip(files, labels, strict=True):
        video = maps.read_video(file, classifier)
        folder = figures_folder(run, options.out)  # before the explanation, which takes minutes
        predicted = int(video.video_scores.argmax())
        explanations.append(explainer.explain(video, predicted if label is None else label))
        maps.print_checks(explanations[-1], classifier.classes)
    if len(explanations) > 1:
        maps.print_mean_concentration(explanations)
    data = f"{fit_options.collection.dataset} {fit_options.part}"
    method = METHOD_TEXTS[options.method].format(**options.settings())
    text = maps.caption(explanations, method=method, class_subset=options.classes is not None)
    text += f" {network_text(fit_options)}, trained on {data}."
    file = folder / figure_name(files, options)
    if options.classes is None:
        save_figure(draw_video(explanations[0], classifier.classes, text), file)
        maps.animate(file, explainer, explanations[0], options.animation)
    else:
        save_figure(draw_classes(explanations, classifier.classes, text), file)
    record = {
        "caption": text,
        "weights_sha256": weights_sha256(classifier),
        "method": {"name": options.method, **options.settings()},
        "videos": [maps.as_json(one, classifier.classes) for one in explanations],
    }
    atomic_write_text(file.with_suffix(".json"), json.dumps(record, indent=1))
    print(f"{text}\nresults in {file} and {file.with_suffix('.json').name}")


def figure_name(files: Sequence[Path], options: SaliencyOptions) -> str:
    """Name of the figure's file: what is explained, by which method, and for which other class."""
    if options.classes is not None:
        return f"saliency-classes-{options.method}.png"
    parts = ["saliency", _cut(files[0].stem), options.method]
    if options.target is not None:  # several classes of one video may be compared
        parts.append(_cut(re.sub(r"[^\w.-]+", "_", options.target)))
    return f"{'-'.join(parts)}.png"


def _cut(name: str) -> str:
    """The beginning of a name that is long for a part of another one."""
    return name.encode("utf-8", "replace")[:90].decode("utf-8", "ignore")


def check_source(files: Sequence[Path], options: SaliencyOptions):
    """Makes sure that either a video or classes are named.

    Raises:
        UserError: if not, or if --target comes with classes.
    """
    given = [str(file) for file in files]
    if options.classes is not None:
        given.append(f"--classes {options.classes}")
    if len(given) != 1:
        raise UserError(
            f"name one video file, or --classes; got {' and '.join(given) or 'neither'}"
        )
    if options.classes is not None and options.target is not None:
        raise UserError("--target is for a video; with --classes each class explains its own")


def label_of(name: str, classifier: "ActionClassifier") -> int:
    """Number of a class.

    Raises:
        UserError: if the network does not know it.
    """
    if name not in classifier.classes:
        raise UserError(f"no class {name!r}; the run's classes: {join_names(classifier.classes)}")
    return classifier.classes.index(name)


def best_videos(
    run: RunFolder, classifier: "ActionClassifier", classes: str
) -> tuple[list[int], list[Path]]:
    """The classes' labels, and of each the test video of this class that scores best for it.

    Raises:
        UserError: if none is named, or one is unknown or has no test video, or its file is gone.
    """
    names = split_names(classes)
    if not names:
        raise UserError(f"--classes must name a class or more, got {classes!r}")
    labels = [label_of(name, classifier) for name in names]
    results = read_scores(run)
    scores = fusion.fuse(results.scores)  # (V, N)
    trained = read_options(run)
    root = load_dataset(trained.collection, trained.split).root
    files = []
    for name, label in zip(names, labels, strict=True):
        own = np.flatnonzero(results.labels == label)
        if not len(own):
            raise UserError(f"{run}: class {name} has no test video that was scored: leave it out")
        files.append(root / results.paths[own[scores[own, label].argmax()]])
    return labels, files


if __name__ == "__main__":
    cli.run(main, SaliencyOptions)
