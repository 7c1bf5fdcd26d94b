"""The mistakes of a run that it is surest of: their frames, and what misled it."""

import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from analysis.runs import OpenRun, open_run
from fstcn_keras import fusion
from fstcn_keras.files import atomic_write, atomic_write_text
from fstcn_keras.video.frames import view_frames
from training.errors import UserError
from training.figures import add_caption, save_figure
from training.scores import RunScores

WORST_VIDEOS = 20
COLUMNS = 5
RECORD = "mistakes.json"
STRIP_TEXT = (
    "beside it what decided, the clip that scores best for the wrong class, under the gradient of "
    "that class's logit: the middle frame and the differences"
)


def worst_mistakes(scores: RunScores) -> list[int]:
    """Numbers of the wrong test videos, those where the wrong class leads most first."""
    fused = fusion.fuse(scores.scores)
    predicted = fused.argmax(axis=-1)
    videos = np.arange(len(fused))
    margin = fused[videos, predicted] - fused[videos, scores.labels]
    wrong = predicted != scores.labels
    return [int(number) for number in np.argsort(-margin, kind="stable") if wrong[number]]


def draw_mistakes(scores: RunScores, caption: str, folder: Path):
    """Draws the worst mistakes: a contact sheet, and what misled the network in each.

    Writes `mistakes.jpg`, `mistakes.json` and, into the folder `mistakes`, a frame and a strip of
    each; none of them where there is no mistake.
    """
    sheet, record, pictures = folder / "mistakes.jpg", folder / RECORD, folder / "mistakes"
    for file in (sheet, record):
        file.unlink(missing_ok=True)
    shutil.rmtree(pictures, ignore_errors=True)
    worst = worst_mistakes(scores)
    if not worst:
        return
    run = open_run(scores.run)
    for number in worst[:WORST_VIDEOS]:
        if (path := scores.paths[number]) not in run.store.videos:
            raise UserError(
                f"{path} was scored but is no video of the data any more: "
                f"'python -m training.evaluate {scores.run}' scores what is there now"
            )
    pictures.mkdir()
    found = _described(run, scores, worst[:WORST_VIDEOS], pictures)
    text = (
        f"{len(found)} of {len(worst)} mistakes, those where the wrong class leads most; "
        "middle frames, SCI-fused scores in brackets"
    )
    entries = [
        (np.asarray(Image.open(folder / one["frame"])), one["text"], one["video"]) for one in found
    ]
    save_figure(draw_contact_sheet(entries, f"{text}. {caption}"), sheet)
    content = {
        "caption": f"{text}; {STRIP_TEXT}. {caption}",
        "weights_sha256": scores.protocol["weights_sha256"],
        "root": str(run.dataset.root.resolve()),
        "mistakes": found,
    }
    atomic_write_text(record, json.dumps(content, indent=1))


def _described(
    run: OpenRun, scores: RunScores, numbers: Sequence[int], folder: Path
) -> list[dict[str, str]]:
    """Writes a frame and a strip of each video, and returns their names with what went wrong."""
    from analysis.attribution import ClipNetwork  # TensorFlow

    network = ClipNetwork(run.classifier.model)
    found = []
    for place, number in enumerate(numbers):
        path, true = scores.paths[number], int(scores.labels[number])
        fused = fusion.fuse(scores.scores[number])
        guess = int(fused.argmax())
        clip = int(fusion.fuse_crops(scores.scores[number])[:, guess].argmax())
        images = {
            "frame": run.middle_frame(path),
            "strip": _strip(run, network, path, clip=clip, label=guess),
        }
        for name, image in images.items():
            with atomic_write(folder / f"{place}-{name}.jpg") as partial:
                Image.fromarray(image).save(partial, "JPEG", quality=85)
        text = (
            f"{scores.classes[true]} ({fused[true]:.2f}) taken for "
            f"{scores.classes[guess]} ({fused[guess]:.2f})"
        )
        names = {name: f"{folder.name}/{place}-{name}.jpg" for name in images}
        found.append({"video": path, "text": text, **names})
    return found


def _strip(run: OpenRun, network, path: str, *, clip: int, label: int) -> np.ndarray:
    """What one clip shows to the network, under the map of a class, from left to right."""
    from analysis.attribution import METHODS
    from analysis.explanation import clip_pixels
    from analysis.overlays import overlaid

    video = view_frames(run.store.reader(path), run.classifier.plan)
    pixels = clip_pixels(video.frames, video.pairs[clip], video.positions[clip])
    seen = {part: pixels.parts[part] for part in network.baselines}
    attribution = METHODS["gradient"](network, seen, label=label)
    parts = overlaid([pixels], [attribution])[0]
    return np.concatenate([image for images in parts.values() for image in images], axis=1)


def draw_contact_sheet(entries: Sequence[tuple[np.ndarray, str, str]], caption: str) -> Figure:
    """Frames uint8 `(height, width, 3)` in a grid, each with a line above and one below."""
    rows = -(-len(entries) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.5 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (frame, title, note) in zip(grid, entries, strict=False):
        axes.imshow(frame)
        axes.set_title(_wrapped(title, 34), fontsize=8)
        below = {"ha": "center", "va": "top", "transform": axes.transAxes}
        axes.text(0.5, -0.03, _wrapped(note, 38), fontsize=6.5, **below)
    add_caption(figure, caption)
    return figure


def _wrapped(text: str, width: int) -> str:
    printable = text.encode("utf-8", "replace").decode()  # file names need not be
    return "\n".join(textwrap.wrap(printable, width)[:3])
