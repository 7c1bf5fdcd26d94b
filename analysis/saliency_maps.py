"""Saliency maps of videos: what is explained, its figure, its checks and its record."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis import sanity
from analysis.explanation import Explainer, Explanation, PartChecks, VideoClips, read_clips
from analysis.overlays import BLUR, draw_classes, draw_video, write_animation
from analysis.runs import figures_folder, network_text, read_options
from analysis.saliency import METHOD_TEXTS, SaliencyOptions
from fstcn_keras import ActionClassifier, fusion
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder, chosen_run, run_and_files
from fstcn_keras.video import VideoError
from training.cli import UserError
from training.data.collections import load_dataset
from training.evaluation import load_classifier, weights_sha256
from training.figures import save_figure
from training.scores import read_scores

IN_BOXES = "energy in the boxes of the demo's (moving) discs / that of a uniform map"


def explain(options: SaliencyOptions):
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
    explainer = Explainer(
        classifier,
        method=options.method,
        seed=options.seed,
        on_demo=fit_options.collection.dataset == "demo",
        settings=options.settings(),
    )
    explanations = []
    for file, label in zip(files, labels, strict=True):
        video = read_video(file, classifier)
        predicted = int(video.video_scores.argmax())
        explanations.append(explainer.explain(video, predicted if label is None else label))
        print_checks(explanations[-1], classifier.classes)
    if len(explanations) > 1:
        print_mean_concentration(explanations)
    data = f"{fit_options.collection.dataset} {fit_options.part}"
    text = f"{caption(explanations, options)} {network_text(fit_options)}, trained on {data}."
    folder = figures_folder(run, options.out)
    if options.classes is None:
        file = folder / f"saliency-{files[0].stem}-{options.method}.png"
        save_figure(draw_video(explanations[0], classifier.classes, text), file)
        animate(file, explainer, explanations[0], options.animation)
    else:
        file = folder / f"saliency-classes-{options.method}.png"
        save_figure(draw_classes(explanations, classifier.classes, text), file)
    record = {
        "caption": text,
        "weights_sha256": weights_sha256(classifier),
        "method": {"name": options.method, **options.settings()},
        "videos": [as_json(one, classifier.classes) for one in explanations],
    }
    atomic_write_text(file.with_suffix(".json"), json.dumps(record, indent=1))
    print(f"{text}\nresults in {file} and {file.with_suffix('.json').name}")


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


def label_of(name: str, classifier: ActionClassifier) -> int:
    """Number of a class.

    Raises:
        UserError: if the network does not know it.
    """
    if name not in classifier.classes:
        raise UserError(f"no class {name!r}; the run's classes: {', '.join(classifier.classes)}")
    return classifier.classes.index(name)


def best_videos(
    run: RunFolder, classifier: ActionClassifier, classes: str
) -> tuple[list[int], list[Path]]:
    """The classes' labels, and of each the test video of this class that scores best for it.

    Raises:
        UserError: if a class is unknown or has no test video, or its file is gone.
    """
    names = list(dict.fromkeys(name.strip() for name in classes.split(",")))
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


def read_video(file: Path, classifier: ActionClassifier) -> VideoClips:
    """The clips of a video file.

    Raises:
        UserError: if it is none.
    """
    try:
        return read_clips(file, classifier)
    except VideoError as error:
        raise UserError(f"{file}: {error}") from error


def animate(file: Path, explainer: Explainer, explanation: Explanation, kind: str):
    """Writes the maps of all clips of the video beside the figure."""
    if kind != "none":
        clips = explanation.video.clips
        maps = [
            explanation.attribution
            if number == explanation.number
            else explainer.attribute(clip, explanation.label)
            for number, clip in enumerate(clips)
        ]
        write_animation(file.with_suffix(f".{kind}"), clips, maps)


def caption(explanations: Sequence[Explanation], options: SaliencyOptions) -> str:
    """What the figure shows and how it was made, but for the network."""
    method = METHOD_TEXTS[options.method].format(**options.settings())
    texts = [
        f"{method} of the class's logit before the softmax, mean over the nine crops of the clip "
        "that scores best for the class (SCI fusion over crops), drawn through a Gaussian blur of "
        f"{BLUR:.2%} of the frames' short side.",
    ]
    if "differences" in explanations[0].checks:
        texts.append("|a - b|: absolute difference of frames a and b, brightened.")
    if options.classes is not None:
        texts.append("Of each class its own test video that scores best for it, with its score.")
    else:
        texts.append(
            f"Deletion and insertion: squares in the order of the map, or in "
            f"{sanity.RANDOM_ORDERS} random orders, replaced by the mean colour or no difference."
        )
    return " ".join(texts)


def print_checks(explanation: Explanation, classes: Sequence[str]):
    """The video's score and the checks of its maps, as a table."""
    video, clip = explanation.video, explanation.clip
    print(
        f"{video.path}: {video.num_frames} frames; {classes[explanation.label]} scores "
        f"{explanation.score:.3f}, in clip {explanation.number + 1} of {len(video.clips)}, frames "
        f"{' '.join(map(str, clip.numbers[0]))}"
    )
    rows = {part: summary(checks) for part, checks in explanation.checks.items()}
    print(f"{'':76}" + "".join(f"{part:>16}" for part in rows))
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        print(f"  {name:74}" + "".join(f"{row.get(name, '-'):>16}" for row in rows.values()))
    completeness = explanation.attribution.completeness
    if completeness is not None:
        verdict = "" if completeness.is_reached else ", NOT reached"
        print(
            f"  attributions sum to {completeness.attributed:.4f}, the score differs from the "
            f"baseline's by {completeness.difference:.4f}: {completeness.error:.2%} off in "
            f"{completeness.steps} steps{verdict}"
        )


def print_mean_concentration(explanations: Sequence[Explanation]):
    """How well the maps of the demo's videos lie on their discs, on average."""
    for part in explanations[0].checks:
        known = [one.checks[part].concentration for one in explanations]
        known = [value for value in known if value is not None]
        if known:
            print(f"{IN_BOXES}, {part}: mean {np.mean(known):.2f} over {len(known)} videos")


def summary(checks: PartChecks) -> dict[str, str]:
    """The rows of the table."""
    curves = checks.curves

    def against_random(name: str) -> str:
        random = sanity.area(getattr(curves, f"random_{name}"))
        return f"{sanity.area(getattr(curves, name)):.3f} ({random.mean():.3f})"

    def mean(values: list[float | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{np.mean(known):.3f}" if known else "-"

    rows = {
        "area under deletion, less is better (random)": against_random("deletion"),
        "area under insertion, more is better (random)": against_random("insertion"),
        "rank correlation with maps of random weights (of these with each other)": (
            f"{mean(checks.randomised)} ({mean(checks.among_random)})"
        ),
    }
    if checks.concentration is not None:
        rows[IN_BOXES] = f"{checks.concentration:.2f}"
    return rows


def as_json(explanation: Explanation, classes: Sequence[str]) -> dict:
    """All numbers of an explanation."""
    completeness = explanation.attribution.completeness
    return {
        "video": str(explanation.video.path),
        "num_frames": explanation.video.num_frames,
        "class": classes[explanation.label],
        "predicted": classes[explanation.video.video_scores.argmax()],
        "score": explanation.score,
        "clip": explanation.number,
        "pairs": explanation.clip.numbers.tolist(),
        "completeness": completeness
        and {**dataclasses.asdict(completeness), "error": completeness.error},
        "parts": {part: part_json(checks) for part, checks in explanation.checks.items()},
    }


def part_json(checks: PartChecks) -> dict:
    """The checks of one part's map."""
    curves = checks.curves
    return {
        "fractions": curves.fractions.tolist(),
        **{
            name: {
                "probability": getattr(curves, name).tolist(),
                "area": float(sanity.area(getattr(curves, name))),
                "random_areas": sanity.area(getattr(curves, f"random_{name}")).tolist(),
            }
            for name in ("deletion", "insertion")
        },
        "rank_correlation_with_random_weights": checks.randomised,
        "rank_correlation_among_random_weights": checks.among_random,
        "share_by_time": checks.share_by_time.tolist(),
        "energy_in_boxes_to_uniform": checks.concentration,
    }
