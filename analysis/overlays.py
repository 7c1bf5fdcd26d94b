"""Pictures of saliency maps: laid over what the network looked at, as figures and animations."""

import textwrap
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import gaussian_filter

from analysis.attribution import Attribution
from analysis.explanation import ClipPixels, Explanation, PartChecks
from analysis.style import PALETTE
from fstcn_keras.files import atomic_write
from training.figures import add_caption, short_name

BLUR = 1 / 80  # of a frame's short side: deviation of the Gaussian that maps are drawn through
BRIGHTEST = 99.5  # percentile of a map, or of a difference, that is drawn brightest
TICKS_PER_SECOND = 5
ANIMATION_HEIGHT = 240  # pixels


def draw_video(explanation: Explanation, classes: Sequence[str], caption: str) -> Figure:
    """One video: what the network looked at, the maps over it, and their checks."""
    parts = list(explanation.checks)
    pictures = _pictures(explanation.clip, explanation.attribution)
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    rows = above.subplots(2, len(pictures), squeeze=False)
    for column, (title, plain, overlaid) in enumerate(pictures):
        _show(rows[0, column], plain, title)
        _show(rows[1, column], overlaid)
    name = short_name(explanation.video.path.name, 60)
    above.suptitle(f"{name}: why {short_name(classes[explanation.label])}?")
    grid = below.subplots(1, 2 * len(parts) + ("differences" in parts), squeeze=False)[0]
    for number, part in enumerate(parts):
        _draw_curves(explanation.checks[part], part, *grid[2 * number : 2 * number + 2])
    if "differences" in parts:
        draw_times(explanation, grid[-1])
    add_caption(figure, caption)
    return figure


def draw_classes(
    explanations: Sequence[Explanation], classes: Sequence[str], caption: str
) -> Figure:
    """Figure 5's form: a row for each class, its best-scoring test video and the maps over it."""
    columns = [_pictures(one.clip, one.attribution) for one in explanations]
    plain_too = "frame" in explanations[0].checks
    width = len(columns[0]) + plain_too
    size = (max(1.5 * width, 6.0), 1.25 * len(columns) + 0.9)  # a caption of few lines
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(columns), width, squeeze=False)
    for explanation, pictures, row in zip(explanations, columns, rows, strict=True):
        if plain_too:
            _show(row[0], pictures[0][1], f"frame {explanation.clip.frame_number}")
        for axes, (title, _, overlaid) in zip(row[plain_too:], pictures, strict=True):
            _show(axes, overlaid, title)
        name = textwrap.fill(short_name(classes[explanation.label]), 20)  # rows are low
        row[0].set_ylabel(f"{name}\n{explanation.score:.2f}", fontsize=8)
    add_caption(figure, caption)
    return figure


def write_animation(file: Path, clips: Sequence[ClipPixels], attributions: Sequence[Attribution]):
    """The maps over time, clip after clip: the frame at the left, the differences at the right.

    A tick is one difference; its clip's frame stands beside it. Brightness compares all ticks.

    Args:
        file: GIF, or MP4 (H.264), by its suffix.
        clips: of one video, in order of time.
        attributions: of each clip.
    """
    ticks = []
    for parts in overlaid(clips, attributions):
        length = max(map(len, parts.values()))
        ticks += [
            np.concatenate([pictures[k % len(pictures)] for pictures in parts.values()], axis=1)
            for k in range(length)
        ]
    height, width = ticks[0].shape[:2]
    scale = max(1, round(ANIMATION_HEIGHT / height))
    size = (width * scale // 2 * 2, height * scale // 2 * 2)  # H.264 takes even sides alone
    frames = [Image.fromarray(tick).resize(size, Image.Resampling.NEAREST) for tick in ticks]
    with atomic_write(file) as partial:
        (_write_gif if file.suffix == ".gif" else _write_mp4)(partial, frames)


def _write_gif(file: Path, frames: Sequence[Image.Image]):
    first, *others = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    first.save(
        file,
        "GIF",
        save_all=True,
        append_images=others,
        duration=1000 // TICKS_PER_SECOND,
        loop=0,
    )


def _write_mp4(file: Path, frames: Sequence[Image.Image]):
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(TICKS_PER_SECOND))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def overlaid(
    clips: Sequence[ClipPixels], attributions: Sequence[Attribution]
) -> list[dict[str, list[np.ndarray]]]:
    """What the network looked at, under its maps; brightness compares all clips and times.

    Returns:
        For each clip, by part, its pictures in order of time, uint8 `(height, width, 3)`.
    """
    blurred = [{part: _blur(saliency) for part, saliency in a.maps.items()} for a in attributions]
    brightest = {
        part: max(np.percentile([maps[part] for maps in blurred], BRIGHTEST), 1e-30)
        for part in blurred[0]
    }
    return [
        {
            part: [
                overlay(image, one / brightest[part])
                for image, one in zip(_images(clip, part), saliency, strict=True)
            ]
            for part, saliency in maps.items()
        }
        for clip, maps in zip(clips, blurred, strict=True)
    ]


def overlay(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """A map in colours over a grey image; where it is 0 the image alone is seen.

    Args:
        image: `(height, width, 3)`, 0 to 255.
        saliency: `(height, width)`, 0 for nothing to 1 for the brightest; more is cut off.

    Returns:
        uint8 `(height, width, 3)`.
    """
    strength = np.clip(saliency, 0, 1)[..., None]
    grey = image.mean(axis=-1, keepdims=True)
    colours = 255 * matplotlib.colormaps["inferno"](0.25 + 0.75 * strength[..., 0])[..., :3]
    return np.uint8(np.clip((1 - strength) * 0.7 * grey + strength * colours, 0, 255))


def _pictures(
    clip: ClipPixels, attribution: Attribution
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Title, picture, and picture with its map, of each part and time."""
    titles = {
        "frame": [f"frame {clip.frame_number}"],
        "differences": [f"|{one} - {other}|" for one, other in clip.numbers.T],
    }
    return [
        picture
        for part, overlays in overlaid([clip], [attribution])[0].items()
        for picture in zip(titles[part], _images(clip, part), overlays, strict=True)
    ]


def _images(clip: ClipPixels, part: str) -> np.ndarray:
    """The part as pictures, uint8 `(time, height, width, 3)`; differences are brightened."""
    pixels = clip.parts[part]
    if part == "differences":
        pixels = pixels * (255 / max(np.percentile(pixels, BRIGHTEST), 1))
    return np.uint8(np.clip(pixels, 0, 255))


def _blur(saliency: np.ndarray) -> np.ndarray:
    deviation = BLUR * min(saliency.shape[1:])
    return gaussian_filter(saliency, (0, deviation, deviation))


def _show(axes: Axes, picture: np.ndarray, title: str = ""):
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)


def _draw_curves(checks: PartChecks, part: str, deletion: Axes, insertion: Axes):
    curves = checks.curves
    for axes, name in ((deletion, "deletion"), (insertion, "insertion")):
        axes.plot(curves.fractions, getattr(curves, name), color=PALETTE[1], label="map")
        for number, random in enumerate(getattr(curves, f"random_{name}")):
            label = "random orders" if number == 0 else None
            axes.plot(curves.fractions, random, color=PALETTE[0], lw=0.8, ls="--", label=label)
        axes.set_title(f"{part}: {name}", fontsize=9)
        axes.set_xlabel("share of squares", fontsize=9)
        axes.set_ylim(-0.03, 1.03)
    deletion.set_ylabel("probability of the class", fontsize=9)
    # where curves of insertion seldom lie, and without a frame, which would hide those that do
    insertion.legend(fontsize=7, loc="lower right", frameon=False, handlelength=1.2)


def draw_times(explanation: Explanation, axes: Axes):
    """A bar for each difference of the clip: its share of the map's energy."""
    shares = explanation.checks["differences"].share_by_time
    places = range(len(shares))  # short videos have a frame more than once
    axes.bar(places, shares, color=PALETTE[2])
    axes.set_xticks(places, explanation.clip.numbers[0])
    axes.set_title("differences: when", fontsize=9)
    axes.set_xlabel("frame", fontsize=9)
    axes.set_ylabel("share of the map's energy", fontsize=9)
