"""Saliency maps of videos: their animation, caption, checks and record."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis import sanity
from analysis.explanation import Explainer, Explanation, PartChecks, VideoClips, read_clips
from analysis.overlays import BLUR, write_animation
from fstcn_keras import ActionClassifier
from fstcn_keras.video import VideoError
from training.errors import UserError

IN_BOXES = "energy in the (moving) discs' boxes, of a uniform map 1 (random weights)"


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
    """Writes the maps of all clips of the video beside the figure, in the place of earlier ones."""
    for suffix in (".gif", ".mp4"):
        file.with_suffix(suffix).unlink(missing_ok=True)
    if kind != "none":
        clips = explanation.video.clips
        maps = [
            explanation.attribution
            if number == explanation.number
            else explainer.attribute(clip, explanation.label)
            for number, clip in enumerate(clips)
        ]
        write_animation(file.with_suffix(f".{kind}"), clips, maps)


def caption(explanations: Sequence[Explanation], *, method: str, class_subset: bool) -> str:
    """What the figure shows and how it was made, but for the network."""
    texts = [
        f"{method} of the class's logit before the softmax, mean over the nine crops of the clip "
        "that scores best for the class (SCI fusion over crops), drawn through a Gaussian blur of "
        f"{BLUR:.2%} of the frames' short side. A frame, and the differences of a clip together, "
        "are bright by a scale of their own; what lies in more of the crops, the middle, is the "
        "brighter for it.",
    ]
    if "differences" in explanations[0].checks:
        texts.append("|a - b|: absolute difference of frames a and b, brightened.")
    if class_subset:
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
        checks = [one.checks[part] for one in explanations]
        known = [one.concentration for one in checks if one.concentration is not None]
        random = [value for one in checks for value in one.random_concentration]
        if known:
            print(
                f"{IN_BOXES}, {part}: mean {np.mean(known):.2f} ({_mean(random, digits=2)}) over "
                f"{len(known)} videos"
            )


def summary(checks: PartChecks) -> dict[str, str]:
    """The rows of the table."""
    curves = checks.curves

    def against_random(name: str) -> str:
        random = sanity.area(getattr(curves, f"random_{name}"))
        return f"{sanity.area(getattr(curves, name)):.3f} ({random.mean():.3f})"

    rows = {
        "area under deletion, less is better (random)": against_random("deletion"),
        "area under insertion, more is better (random)": against_random("insertion"),
        "rank correlation with maps of random weights (of these with each other)": (
            f"{_mean(checks.randomised)} ({_mean(checks.among_random)})"
        ),
    }
    if checks.concentration is not None:
        random = _mean(checks.random_concentration, digits=2)
        rows[IN_BOXES] = f"{checks.concentration:.2f} ({random})"
    return rows


def _mean(values: Sequence[float | None], *, digits: int = 3) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if known else "-"


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
        "energy_in_boxes_to_uniform_of_random_weights": checks.random_concentration,
    }
