"""The paper's tables: python -m training.experiments table1|table2|table3 [options of fit]

table1 and table2 train the networks of their rows as `training.fit` does, one after another, on
one split or with `--split all` on three. Rows that differ only in views or fusion come from the
scores of one run, networks that are trained already are not trained again, and the same command
goes on where an interrupted one stopped. table3 trains nothing: it tabulates what has been
trained with both paths, by either command, in --out. The tables go to --out.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fstcn_keras.config import PATHS
from fstcn_keras.files import atomic_write_text
from training import cli
from training.cli import UserError, option, positional
from training.fit import fit_runs
from training.options import CONFIG, SPLITS, FitOptions, differences, read_config, split_folder
from training.scores import RunResult, check_same_protocol, check_same_videos, read_result
from training.tables import TABLES, Row, record, to_csv, to_markdown


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentOptions(FitOptions):
    """Which table, and how its networks are trained."""

    table: Literal[tuple(TABLES)] = positional("the table of the paper")
    out: Path | None = option(
        None, "folder of tables and runs (default: runs/experiments-DATASET-PRESET; table3: runs)"
    )

    def __post_init__(self):
        super().__post_init__()
        defaults = FitOptions()
        fixed = {"table1": ("paths", "temporal_kernels"), "table2": ("paths",)}
        for name in fixed.get(self.table, ()):
            if getattr(self, name) != getattr(defaults, name):
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} is what the rows of {self.table} differ in: leave it out")
        if self.table == "table3" and (changed := differences(self.of_fit(), defaults)):
            raise UserError(
                "table3 trains nothing, it tabulates the finished runs in --out (default: runs): "
                f"leave out the other options ({'; '.join(changed)})"
            )

    def run_folder(self) -> Path:
        """`--out`, or a name made of what distinguishes tables most."""
        if self.out is not None:
            return self.out
        name = f"experiments-{self.dataset}-{self.preset}"
        return Path("runs") / ("" if self.table == "table3" else name)

    def of_fit(self, **changes) -> FitOptions:
        """These options for `training.fit`, with some changed."""
        names = [field.name for field in dataclasses.fields(FitOptions)]
        return FitOptions(**{name: getattr(self, name) for name in names} | changes)


def main(options: ExperimentOptions):
    """Trains what the table needs and writes it as Markdown and CSV."""
    if options.table == "table3":
        records = collected_rows(options.run_folder())
    elif fit_runs(list(networks(options).values())):
        records = compared_rows(options)
    else:
        return
    table = TABLES[options.table]
    text = to_markdown(table, records)
    atomic_write_text(options.run_folder() / f"{options.table}.csv", to_csv(records))
    atomic_write_text(options.run_folder() / f"{options.table}.md", text)
    print(f"\n{text}\nresults in {options.run_folder() / options.table}.md and .csv")


def networks(options: ExperimentOptions) -> dict[tuple[str, int], FitOptions]:
    """Options of the runs that the table's rows need, by the network's name and the split."""
    wanted = SPLITS if options.split == "all" else (options.split,)
    return {
        (network_name(row, options), split): options.of_fit(
            split=split,
            paths=row.paths,
            temporal_kernels=row.kernels(options),
            out=options.run_folder() / network_name(row, options) / split_folder(split),
        )
        for split in wanted
        for row in TABLES[options.table].rows
    }


def network_name(row: Row, options: FitOptions) -> str:
    """What tells the row's network from others, e.g. `spatial-temporal-3-5`."""
    kernels = row.kernels(options) if "temporal" in row.paths else ()
    return "-".join([*row.paths, *map(str, kernels)])


def compared_rows(options: ExperimentOptions) -> list[dict]:
    """Rows of finished networks that were all judged by the same videos.

    Raises:
        UserError: if the runs differ in the test videos of a split, their labels, classes or
            views.
    """
    runs = networks(options)
    results = {key: read_result(run.run_folder()) for key, run in runs.items()}
    splits = sorted({split for _, split in results})
    for wanted in splits:
        check_same_videos([result for (_, split), result in results.items() if split == wanted])
    check_same_protocol(list(results.values()))
    records = []
    for row in TABLES[options.table].rows:
        name = network_name(row, options)
        of_row = [results[name, split] for split in splits]
        trained = read_config(of_row[0].run / CONFIG)  # with the precision that auto meant
        records.append(record(row, name, trained, of_row))
    return records


def collected_rows(folder: Path) -> list[dict]:
    """Rows of every network of both paths in the folder that is trained on one split or more.

    Raises:
        UserError: if there is none, or the splits of a network differ in options, classes or
            views.
    """
    found: dict[Path, list[FitOptions]] = {}
    for file in sorted(folder.glob("**/metrics.json")):
        run = file.parent
        of_split = run != folder and run.name in map(split_folder, SPLITS)
        options = dataclasses.replace(read_config(run / CONFIG), out=run)
        if set(options.paths) == set(PATHS):
            found.setdefault(run.parent if of_split else run, []).append(options)
    if not found:
        raise UserError(
            f"{folder} holds no finished run of a network with both paths: train one with "
            "'python -m training.fit' or 'python -m training.experiments table2'"
        )
    records = []
    for network, runs in found.items():
        results = results_of_one_network(runs)
        for row in TABLES["table3"].rows:
            records.append(record(row, str(network.relative_to(folder)), runs[0], results))
    return records


def results_of_one_network(runs: Sequence[FitOptions]) -> list[RunResult]:
    """The results of runs that differ in nothing but the split.

    Raises:
        UserError: if they differ in other options, in the classes or in the views.
    """
    first = runs[0]
    for other in runs[1:]:
        if changed := differences(dataclasses.replace(first, split=other.split), other):
            raise UserError(
                f"{first.out} and {other.out} were trained with different options: "
                f"{'; '.join(changed)}"
            )
    results = [read_result(options.run_folder()) for options in runs]
    check_same_protocol(results)
    return results


if __name__ == "__main__":
    cli.run(main, ExperimentOptions)
