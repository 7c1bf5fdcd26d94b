"""Tables 1 to 3 of the paper: its rows and figures, and ours beside them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fstcn_keras.config import PATHS
from training.options import FitOptions
from training.options.start import start_name
from training.scores import RunResult, made_text, views_text
from training.split_summary import deviation


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table of the paper.

    Attributes:
        setting: what the paper calls it.
        paper: the paper's accuracies by the heading of their column, fractions.
        paths: paths of the network.
        temporal_kernels: kernel sizes of the TCL; `None` leaves them to the command's option.
        fusion: method of `fusion.fuse`.
    """

    setting: str
    paper: dict[str, float]
    paths: tuple[str, ...] = PATHS
    temporal_kernels: tuple[int, ...] | None = None
    fusion: str = "single"

    def kernels(self, options: FitOptions) -> tuple[int, ...]:
        """Returns the kernel sizes of the TCL of this row's network."""
        return self.temporal_kernels or options.network.temporal_kernels


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        title: what it shows.
        rows: those of networks that this project trains.
        note: how rows whose views the paper leaves open are read.
    """

    title: str
    rows: tuple[Row, ...]
    note: str


def _kernels_row(setting: str, hmdb51: float, kernels: tuple[int, ...]) -> Row:
    paper = {"HMDB-51 split 1": hmdb51}
    return Row(setting=setting, paper=paper, paths=("temporal",), temporal_kernels=kernels)


def _row(setting: str, ucf101: float, hmdb51: float, fusion: str, paths=PATHS) -> Row:
    paper = {"UCF-101": ucf101, "HMDB-51": hmdb51}
    return Row(setting=setting, paper=paper, fusion=fusion, paths=paths)


TABLES = {
    "table1": PaperTable(
        title="Table 1: the TCL path alone, with one kernel and with two",
        rows=(
            _kernels_row("TCL (only 3x3 kernel)", 0.460, (3,)),
            _kernels_row("TCL (only 5x5 kernel)", 0.471, (5,)),
            _kernels_row("TCL (5x5 kernel + 3x3 kernel)", 0.484, (3, 5)),
        ),
        note="The paper's were obtained without its score fusion; ours are what to expect of "
        "one clip of each video, drawn at random, in its centre crop.",
    ),
    "table2": PaperTable(
        title="Table 2: strategies of FSTCN",
        rows=(
            _row("only SCL path", 0.713, 0.420, "single", ("spatial",)),
            _row("only TCL path", 0.726, 0.458, "single", ("temporal",)),
            _row("only TCL path (SCI fusion)", 0.760, 0.493, "sci", ("temporal",)),
            _row("FSTCN (single randomly selected clip)", 0.845, 0.541, "single"),
            _row("FSTCN (averaging fusion)", 0.879, 0.586, "average"),
            _row("FSTCN (SCI fusion)", 0.881, 0.591, "sci"),
        ),
        note="The paper's single clip is drawn at random; ours are what to expect of such a draw, "
        "the mean over the clips, each in its centre crop. The paper does not say how the views of "
        "its first two rows were fused; ours are of a single clip.",
    ),
    "table3": PaperTable(
        title="Table 3: FSTCN on each data set",
        rows=(
            _row("FSTCN (averaging fusion)", 0.879, 0.586, "average"),
            _row("FSTCN (SCI fusion)", 0.881, 0.591, "sci"),
        ),
        note="The paper's are means over the three splits.",
    ),
}


def record(
    row: Row, name: str, options: FitOptions, results: Sequence[RunResult]
) -> dict[str, str | float | None]:
    """Returns one row of ours beside the paper's, by the columns of the CSV file.

    Accuracies are top-1 at the level of videos, as fractions; `ours` is the mean over the splits
    and `ours_std` their sample deviation, `None` of a single one. What differs between splits
    is joined by blanks.

    Args:
        row: what to measure.
        name: of the trained network, for the column `run`.
        options: of its runs.
        results: of its runs, one a split.
    """
    values = {r.split: r.accuracies["video"][row.fusion]["top1"] for r in results}

    def counts(name: str) -> str:
        return " ".join(str(result.protocol[name]) for result in results)

    protocol, splits_dir = results[0].protocol, options.collection.splits_dir
    kernels = row.kernels(options) if "temporal" in row.paths else ()
    ours = list(values.values())
    return {
        "setting": row.setting,
        **{f"paper {heading}": value for heading, value in row.paper.items()},
        "ours": float(np.mean(ours)),
        "ours_std": deviation(ours) if len(ours) > 1 else None,
        **{f"ours_split{split}": values.get(split) for split in (1, 2, 3)},
        "dataset": protocol["dataset"],
        "lists": splits_dir.resolve().name if splits_dir else "",
        "splits": " ".join(map(str, values)),
        "classes": protocol["num_classes"],
        "absent_classes": len(protocol["absent_classes"]),
        "test_videos": counts("videos"),
        "missing": counts("missing"),
        "rejected": counts("rejected"),
        "fusion": row.fusion,
        "clips": protocol["num_clips"],
        "crops": protocol["num_crops"],
        "views": protocol.get("views", "exact"),  # older runs do not tell
        "paths": " ".join(row.paths),
        "temporal_kernels": " ".join(map(str, kernels)),
        "preset": options.preset_text(),
        "recipe": training_text(options),
        "precision": protocol["precision"],
        "run": name,
    }


def training_text(options: FitOptions) -> str:
    """Returns the recipe with its changes, where the weights started, seed and precision."""
    weights, run_start = options.network.scl_weights, options.network.start_from
    run = options.run
    start = "random weights" if weights is None else Path(weights).name
    if run_start is not None:
        start = f"run {start_name(run_start)}"
    held_out = f", {run.val_fraction:g} held out" if run.val_fraction else ""
    return (
        f"recipe {options.recipe_text()}; from {start}{held_out}; seed {run.seed}; "
        f"in {run.precision}"
    )


def to_csv(records: Sequence[dict]) -> str:
    """Formats the records as CSV, under a line of headings."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def to_markdown(table: PaperTable, records: Sequence[dict]) -> str:
    """Formats the records as a Markdown table, and says below what they are accuracies of."""
    paper = list(table.rows[0].paper)
    headings = ["training setting", *(f"{heading}, paper" for heading in paper)]
    headings += ["ours", "our test videos", "our views of a video", "our network"]
    rows = []
    for entry in records:
        figures = [percent(entry[f"paper {heading}"]) for heading in paper]
        texts = [_videos_text(entry), _views_text(entry), entry["run"]]
        ours = percent(entry["ours"])
        if entry["ours_std"] is not None:
            ours = f"{100 * entry['ours']:.1f} ± {percent(entry['ours_std'])}"
        rows.append([entry["setting"], *figures, ours, *texts])
    lines = [f"# {table.title}", "", *markdown_table(headings, rows), "", "Our networks:", ""]
    lines += dict.fromkeys(_network_text(entry) for entry in records)
    datasets = " and ".join(dict.fromkeys(entry["dataset"] for entry in records))
    lines += [
        "",
        f"Ours are top-1 accuracies on {datasets}, fractions of the test videos that could be "
        "decoded; of several splits the mean ± the sample standard deviation over the splits.",
        "The paper's (Sun et al., ICCV 2015) are of the whole UCF-101 and HMDB-51. The columns "
        "of the paper and ours are not comparable unless the data set is the same, with all its "
        f"classes, videos and splits. {table.note}",
    ]
    return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Formats a table in Markdown, as its lines."""
    lines = []
    for cells in (headings, ["---"] * len(headings), *rows):
        escaped = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {' | '.join(escaped)} |")
    return lines


def percent(fraction: float) -> str:
    """Formats a fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f} %"


def _videos_text(entry: dict) -> str:
    plural = "s" if " " in entry["splits"] else ""
    lists = f" by the lists of {entry['lists']}," if entry["lists"] else ""
    text = f"{entry['dataset']}{lists} split{plural} {entry['splits'].replace(' ', ', ')}: "
    text += f"{entry['test_videos'].replace(' ', ' + ')} of {entry['classes']} classes"
    for name, what in (("missing", "listed but missing"), ("rejected", "not decodable")):
        if any(count != "0" for count in entry[name].split()):
            text += f", {entry[name].replace(' ', ' + ')} {what}"
    if entry["absent_classes"]:
        text += f", {entry['absent_classes']} classes without videos"
    return text


def _views_text(entry: dict) -> str:
    if entry["fusion"] == "single":
        drawn = f"1 of {entry['clips']} clips" if entry["clips"] > 1 else "1 clip"
        return f"{drawn}, centre crop{made_text(entry)}"
    fusion = {"average": "averaged", "sci": "SCI fusion"}[entry["fusion"]]
    views = {"num_clips": entry["clips"], "num_crops": entry["crops"], "views": entry["views"]}
    return f"{views_text(views)}, {fusion}"


def _network_text(entry: dict) -> str:
    kernels = entry["temporal_kernels"].replace(" ", " and ")
    return (
        f"- {entry['run']}: paths {entry['paths'].replace(' ', ' and ')}"
        f"{f', TCL kernels {kernels}' if kernels else ''}; preset {entry['preset']}; "
        f"{entry['recipe']}; scored in {entry['precision']}"
    )
