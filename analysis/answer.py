"""What the page of a run says first: its accuracy, what that is worth, and its worst mistakes."""

import json
from dataclasses import dataclass
from pathlib import Path

from analysis.mistakes import RECORD
from analysis.page import embedded_file
from analysis.runs import figures_folder
from fstcn_keras import fusion
from fstcn_keras.runs import RunFolder
from training import judgement
from training.errors import UserError
from training.scores import RunScores
from training.statistics import share_of
from training.tables import percent


@dataclass(frozen=True)
class AnswerRow:
    """A share of the test videos.

    Attributes:
        name: who is right for them.
        share: of them, 0 to 1.
        text: the share in words.
        note: what else is known of it.
    """

    name: str
    share: float
    text: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong test video as the page shows it.

    Attributes:
        video: its path.
        text: what it is and what it was taken for.
        frame: `data:` address of its middle frame.
        strip: that of what misled the network.
        link: address of its file; empty if it is gone.
        problem: why there is no link.
    """

    video: str
    text: str
    frame: str
    strip: str
    link: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """The worst mistakes, and what is said of all.

    Attributes:
        notes: lines of text.
        shown: the mistakes.
    """

    notes: list[str]
    shown: list[Mistake]


def read_judgement(run: RunFolder) -> dict:
    """What the evaluation found beside the accuracy, see `judgement.judge`; of old runs nothing."""
    return json.loads(run.metrics.read_text()).get("judgement", {})


def answer_rows(scores: RunScores, judged: dict) -> list[AnswerRow]:
    """The accuracy by SCI fusion, and what it is to be compared with, the network first."""
    found = share_of(*scores.answers("sci"))

    def row(name: str, share: float, note: str = "") -> AnswerRow:
        return AnswerRow(name, share, percent(share), note)

    interval = (
        f"95 % interval {percent(found.low)} to {percent(found.high)}, by {found.sources} "
        f"source{'s' if found.sources > 1 else ''}"
    )
    rows = [row("this network", found.share, interval)]
    if beside := judged.get("baseline"):
        name = "linear classifier of the pre-trained features"
        rows.append(row(name, beside["top1"], judgement.baseline_text(beside)))
    if judged:
        name = judgement.always_text(judged, scores.classes)
        rows.append(row(name, judged["commonest"]["share"]))
    return [*rows, row("chance", 1 / len(scores.classes))]


def remarks(scores: RunScores, judged: dict) -> list[str]:
    """What to try, as the evaluation advises, or how to have what is missing."""
    if not judged:
        return [
            "no baseline and no advice: the run is of an older version; "
            f"python -m training.evaluate {scores.run.quoted()}"
        ]
    accuracy = scores.accuracies["video"]["sci"]["top1"]
    lines = judgement.advice(judged, scores.classes, accuracy=accuracy)
    if judged["baseline"] is None:
        why = "of these views"  # or of so many videos, or it was not wanted
        if not judged.get("pretrained", True):  # older runs do not tell
            why = "without pre-trained weights (--scl-weights), which it takes to train one"
        lines.append(f"no linear baseline {why}")
    return lines


def read_mistakes(run: RunFolder, folder: Path, scores: RunScores) -> Mistakes:
    """The mistakes that `analysis.errors` has drawn, with links to the videos that are there.

    Args:
        run: the run.
        folder: where its figures are; if they hold no mistakes, the run's own.
        scores: of the run.

    Raises:
        UserError: if what was drawn is damaged.
    """
    command = f"python -m analysis.errors {scores.run.quoted()}"
    if not (folder / RECORD).is_file():
        folder = figures_folder(run, None)
    if fusion.fuse(scores.scores).argmax(axis=-1).tolist() == scores.labels.tolist():
        return Mistakes(notes=["every test video is recognised"], shown=[])
    if not (folder / RECORD).is_file():
        return Mistakes(notes=[f"not drawn yet: {command}"], shown=[])
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        shown = [_mistake(one, folder, Path(record["root"])) for one in record["mistakes"]]
        notes = [str(record["caption"])]
        if record["weights_sha256"] != scores.protocol["weights_sha256"]:
            notes.append(f"drawn from other weights than the accuracies: {command}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{folder / RECORD} is damaged ({error}): '{command}' makes it anew"
        ) from error
    return Mistakes(notes=notes, shown=shown)


def _mistake(record: dict, folder: Path, root: Path) -> Mistake:
    file = root / record["video"]
    is_there = file.is_file()
    return Mistake(
        video=record["video"].encode("utf-8", "replace").decode(),  # file names need not be
        text=record["text"],
        frame=embedded_file(folder / record["frame"]),
        strip=embedded_file(folder / record["strip"]),
        link=file.absolute().as_uri() if is_there else "",
        problem="" if is_there else f"the video is not in {root} any more",
    )
