"""All that is known of a run on one page: python -m analysis.report [RUN]

First the answer: the accuracy with its interval, beside chance and the linear baseline, and the
worst mistakes, each with a link to its video. Then accuracies, training curves and the figures
that the other commands of `analysis` have drawn into RUN/figures. They are written as
RUN/figures/report.html: one file that opens anywhere and fetches nothing.
"""

import glob
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from analysis.answer import answer_rows, read_judgement, read_mistakes, remarks
from analysis.page import embedded_file, write_page
from analysis.runs import FigureOptions, figures_folder, protocol_text, read_options
from analysis.style import FEATURES
from fstcn_keras.runs import RunFolder, chosen_run
from training import cli
from training.errors import UserError
from training.scores import RunScores, damaged, read_scores
from training.split_summary import ROWS
from training.statistics import share_of
from training.tables import percent, training_text


@dataclass(frozen=True, kw_only=True)
class Topic:
    """What one command of `analysis` draws.

    Attributes:
        title: heading of the section.
        command: that draws it.
        record: pattern of the JSON files that the command writes into RUN/figures.
        pictures: patterns of its pictures, in order; `{stem}` is that of the JSON file.
        table: rows of a table, the first of headings, from the content of a JSON file.
    """

    title: str
    command: str
    record: str
    pictures: tuple[str, ...]
    table: Callable[[dict], list[list[str]]] = lambda record: []


@dataclass(frozen=True)
class Section:
    """A topic as the page shows it.

    Attributes:
        title: its heading.
        notes: lines of text.
        pictures: `data:` addresses by the name of the file.
        table: rows, the first of headings.
    """

    title: str
    notes: list[str]
    pictures: dict[str, str]
    table: list[list[str]] = field(default_factory=list)


def feature_table(record: dict) -> list[list[str]]:
    """The measures of the features, of what `analysis.tsne` writes."""
    neighbours = max(found["neighbours"] for found in record["layers"].values())  # all the same
    rows = [["features", f"{neighbours}-NN accuracy", "silhouette", "v-measure"]]
    rows[0] += ["trustworthiness of the map", "Procrustes distance between seeds"]
    for layer, found in record["layers"].items():
        numbers = ("silhouette", "v_measure", "trustworthiness", "procrustes")
        nearest = "-" if found["knn"] is None else percent(found["knn"])
        if interval := found.get("knn_interval"):  # older records do not tell
            nearest += f", 95 % interval {percent(interval[0])} to {percent(interval[1])}"
        rows.append([FEATURES[layer], nearest, *(f"{found[name]:.3f}" for name in numbers)])
    return rows


TOPICS = (
    Topic(
        title="What it confuses",
        command="analysis.errors",
        record="errors.json",
        pictures=(
            "confusion.png",
            "class_accuracy.png",
            "reliability.png",
            "views.png",
        ),
    ),
    Topic(
        title="Features (Figure 4 of the paper)",
        command="analysis.tsne",
        record="tsne.json",
        pictures=("tsne.png",),
        table=feature_table,
    ),
    Topic(
        title="Where it looks (Figure 5 of the paper)",
        command="analysis.saliency",
        record="saliency*.json",
        pictures=("{stem}.png", "{stem}.gif", "{stem}.mp4"),
    ),
    Topic(
        title="Kernels",
        command="analysis.kernels",
        record="kernels.json",
        pictures=("filters.png", "permutation.png", "tcl_*.png"),
    ),
)


def main(options: FigureOptions):
    """Writes the page of a run."""
    run = RunFolder(chosen_run(options.run))
    fit_options = read_options(run)
    scores = read_scores(run)
    curves = [run.curves] if run.curves.is_file() else []
    sections = [Section("Training", [training_text(fit_options)], embedded(curves))]
    folder = figures_folder(run, options.out)
    sections += [section for topic in TOPICS for section in topic_sections(topic, scores, folder)]
    file = folder / "report.html"
    judged = read_judgement(run)
    try:
        answer, notes = answer_rows(scores, judged), remarks(scores, judged)
    except (ValueError, LookupError, TypeError) as error:
        raise damaged(run, error) from error
    write_page(
        file,
        "report.html",
        title=f"Run {run.path.resolve().name}",
        answer=answer,
        remarks=notes,
        mistakes=read_mistakes(run, folder, scores),
        protocol=protocol_text(scores, fit_options),
        weights=scores.protocol["weights_sha256"],
        accuracies=accuracy_table(scores),
        sections=sections,
    )
    for section in sections:
        number = len(section.pictures)
        pictures = "1 picture" if number == 1 else f"{number} pictures"
        print(f"{section.title}: {pictures}", *section.notes, sep="\n  ")
    print(f"results in {file}")


def accuracy_table(scores: RunScores) -> list[list[str]]:
    """Accuracies at both levels by every fusion, with the interval of those of videos."""
    rows = [["", "top-1", "95 % interval", "top-5", "mean class"]]
    for name, (level, method) in ROWS.items():
        values = scores.accuracies[level][method]
        interval = ""  # clips of one video are no independent samples
        if level == "video":
            share = share_of(*scores.answers(method))
            interval = f"{percent(share.low)} to {percent(share.high)}"
        rows.append(
            [name, percent(values["top1"]), interval]
            + [percent(values[measure]) for measure in ("top5", "mean_class")]
        )
    return rows


def embedded(pictures: Iterable[Path]) -> dict[str, str]:
    """`data:` addresses of pictures by the name of the file."""
    return {picture.name: embedded_file(picture) for picture in pictures}


def topic_sections(topic: Topic, scores: RunScores, folder: Path) -> list[Section]:
    """A section for each record of a topic, or one that says how to draw it.

    Args:
        topic: what to show.
        scores: of the run.
        folder: where its figures are; for a topic of which it has none, the run's own.
    """
    command = f"python -m {topic.command} {scores.run.quoted()}"
    if not any(folder.glob(topic.record)):
        folder = figures_folder(scores.run, None)
    sections = []
    for file in sorted(folder.glob(topic.record)):
        record = read_record(file, topic, command)
        notes = [record["caption"]]
        if record["weights_sha256"] != scores.protocol["weights_sha256"]:
            notes.append(f"drawn from other weights than the accuracies above: {command}")
        patterns = [pattern.format(stem=glob.escape(file.stem)) for pattern in topic.pictures]
        found = [picture for pattern in patterns for picture in sorted(folder.glob(pattern))]
        sections.append(Section(topic.title, notes, embedded(found), record["table"]))
    return sections or [Section(topic.title, [f"not drawn yet: {command}"], {})]


def read_record(file: Path, topic: Topic, command: str) -> dict:
    """What a command wrote beside its pictures: the texts of any topic, and the rows of its table.

    Raises:
        UserError: if it is damaged, or of an older version that wrote other things.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        texts = {name: str(record[name]) for name in ("caption", "weights_sha256")}
        return texts | {"table": topic.table(record)}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is damaged or older ({error}): '{command}' makes it anew"
        ) from error


if __name__ == "__main__":
    cli.run(main, FigureOptions)
