"""The mistakes of a run that it is surest of: their frames, and what misled it."""

import contextlib
import json
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
from training.figures import add_caption, save_figure, short_name
from training.scores import RunScores

WORST_VIDEOS = 20
COLUMNS = 5
RECORD = "mistakes.json"
KINDS = ("frame", "strip")  # of the pictures of each
SHORT = 34  # characters: of a class's name on the sheet
STRIP_TEXT = (
    "beside it what decided, the clip that scores best for the wrong class, under the gradient of "
    "that class's logit: the middle frame and the differences"
)
ENCODED_TEXT = (
    "beside it the middle clip, as the views that were scored are not kept, under the gradient of "
    "the wrong class's logit: the middle frame and the differences"
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
    worst = worst_mistakes(scores)
    if not worst:
        _remove(sheet, record, pictures)
        return
    scored = None if _is_encoded(scores) else scores.protocol["num_clips"]
    run = open_run(scores.run, num_clips=scored)
    for number in worst[:WORST_VIDEOS]:
        if (path := scores.paths[number]) not in run.store.videos:
            raise UserError(
                f"{path} was scored but is no video of the data any more: "
                f"'python -m training.evaluate {scores.run.quoted()}' scores what is there now"
            )
    _remove(sheet, record, pictures)
    pictures.mkdir(exist_ok=True)
    found = _described(run, scores, worst[:WORST_VIDEOS], pictures)
    text = (
        f"{len(found)} of {len(worst)} mistakes, those where the wrong class leads most; "
        "middle frames, SCI-fused scores in brackets"
    )
    entries = [
        (np.asarray(Image.open(folder / one["frame"])), _text(scores, number, SHORT), one["video"])
        for one, number in zip(found, worst, strict=False)
    ]
    save_figure(draw_contact_sheet(entries, f"{text}. {caption}"), sheet)
    strip_text = ENCODED_TEXT if _is_encoded(scores) else STRIP_TEXT
    content = {
        "caption": f"{text}; {strip_text}. {caption}",
        "weights_sha256": scores.protocol["weights_sha256"],
        "root": str(run.dataset.root.resolve()),
        "mistakes": found,
    }
    atomic_write_text(record, json.dumps(content, indent=1))


def _remove(sheet: Path, record: Path, pictures: Path):
    """Removes what an earlier command has drawn, and nothing else that lies there."""
    names = [f"{place}-{kind}.jpg" for place in range(WORST_VIDEOS) for kind in KINDS]
    for file in (sheet, record, *(pictures / name for name in names)):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is none, or the user has files in it
        pictures.rmdir()


def _is_encoded(scores: RunScores) -> bool:
    """Whether the run was judged by views drawn as in training (`training.tune`)."""
    return scores.protocol.get("views") == "encoded"


def _described(
    run: OpenRun, scores: RunScores, numbers: Sequence[int], folder: Path
) -> list[dict[str, str]]:
    """Writes a frame and a strip of each video, and returns their names with what went wrong."""
    from analysis.attribution import ClipNetwork  # TensorFlow

    network = ClipNetwork(run.classifier.model)
    found = []
    for place, number in enumerate(numbers):
        path = scores.paths[number]
        guess = int(fusion.fuse(scores.scores[number]).argmax())
        clip = None
        if not _is_encoded(scores):
            clip = int(fusion.fuse_crops(scores.scores[number])[:, guess].argmax())
        images = {
            "frame": run.middle_frame(path),
            "strip": _strip(run, network, path, clip=clip, label=guess),
        }
        for name, image in images.items():
            with atomic_write(folder / f"{place}-{name}.jpg") as partial:
                Image.fromarray(image).save(partial, "JPEG", quality=85)
        names = {name: f"{folder.name}/{place}-{name}.jpg" for name in images}
        found.append({"video": path, "text": _text(scores, number), **names})
    return found


def _text(scores: RunScores, number: int, length: int = 1000) -> str:
    """Which class a video is of, and which it was taken for, with their scores."""
    fused = fusion.fuse(scores.scores[number])
    true, guess = (
        f"{short_name(scores.classes[label], length)} ({fused[label]:.2f})"
        for label in (int(scores.labels[number]), int(fused.argmax()))
    )
    return f"{true} taken for {guess}"


def _strip(run: OpenRun, network, path: str, *, clip: int | None, label: int) -> np.ndarray:
    """What one clip, or the middle one, shows to the network, under the map of a class."""
    from analysis.attribution import METHODS
    from analysis.explanation import clip_pixels
    from analysis.overlays import overlaid

    video = view_frames(run.store.reader(path), run.classifier.plan)
    clip = len(video.pairs) // 2 if clip is None else clip
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
    return "\n".join(textwrap.wrap(printable, width, max_lines=4, placeholder=" …"))
