"""The paper's tables: python -m training.experiments table1|table2|table3 [options of fit]

table1 and table2 train the networks of their rows as `training.fit` does, one after another, on
one split or with `--split all` on three. Rows that differ only in views or fusion come from the
scores of one run, networks that are trained already are not trained again, and the same command
goes on where an interrupted one stopped. table3 trains nothing: it tabulates what has been
trained with both paths, by either command, in --out. The tables go to --out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.config import PATHS
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RUNS, RunFolder, finished_runs
from training import cli
from training.errors import UserError
from training.on_cluster import TrainingClusterOptions
from training.options import FitOptions, differences, read_config
from training.options.start import are_of_one_path
from training.parts import build, flag, flat, part, positional, replaced
from training.scores import RunResult, check_same_protocol, check_same_videos, read_result
from training.tables import TABLES, Row, record, to_csv, to_markdown

FIXED = {"table1": ("paths", "temporal_kernels"), "table2": ("paths",)}  # by the rows


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """Which table, and how its networks are trained."""

    table: Literal[tuple(TABLES)] = positional("the table of the paper")
    fit: FitOptions = part(
        FitOptions,
        out="folder of tables and runs (default: runs/experiments-DATASET-PRESET; table3: runs)",
    )

    def resolved(self) -> "ExperimentOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if options of fit are given that the table does not take.
        """
        fit, defaults = self.fit.resolved(), build(FitOptions)
        given, own = flat(fit), flat(defaults)
        for name in FIXED.get(self.table, ()):
            if given[name] != own[name]:
                raise UserError(
                    f"{flag(name)} is what the rows of {self.table} differ in: leave it out"
                )
        if fit.collection.folds is not None:
            raise UserError("the tables are of splits: leave out --folds and --fold")
        if self.table == "table3" and (changed := differences(fit, defaults)):
            raise UserError(
                "table3 trains nothing, it tabulates the finished runs in --out (default: runs): "
                f"leave out the other options ({'; '.join(changed)})"
            )
        return ExperimentOptions(table=self.table, fit=fit)

    def folder(self) -> Path:
        """Returns `--out`, or a folder named after what distinguishes tables most."""
        if self.fit.run.out is not None:
            return self.fit.run.out
        name = f"experiments-{self.fit.collection.dataset}-{self.fit.backbone.preset}"
        return RUNS if self.table == "table3" else RUNS / name


def main(options: ExperimentOptions):
    """Trains what the table needs and writes it as Markdown and CSV."""
    if options.table == "table3":
        records = collected_rows(options.folder())
    else:
        from training.fitting import fit_runs  # TensorFlow: not before the options are sound

        if not fit_runs(list(networks(options).values())):
            return
        records = compared_rows(options)
    text = to_markdown(TABLES[options.table], records)
    file = options.folder() / options.table
    atomic_write_text(file.with_suffix(".csv"), to_csv(records))
    atomic_write_text(file.with_suffix(".md"), text)
    print(f"\n{text}\nresults in {file}.md and .csv")


def networks(options: ExperimentOptions) -> dict[tuple[str, int], FitOptions]:
    """Returns the options of the runs that the table's rows need, by network name and split."""
    fit = options.fit
    wanted = fit.collection.split_numbers() if fit.split == "all" else (fit.split,)
    return {
        (network_name(row, fit), split): replaced(
            fit,
            split=split,
            paths=row.paths,
            temporal_kernels=row.kernels(fit),
            out=RunFolder(options.folder() / network_name(row, fit)).split(split).path,
        )
        for split in wanted
        for row in TABLES[options.table].rows
    }


def network_name(row: Row, options: FitOptions) -> str:
    """Returns what tells the row's network from others, e.g. `spatial-temporal-3-5`."""
    kernels = row.kernels(options) if "temporal" in row.paths else ()
    return "-".join([*row.paths, *map(str, kernels)])


def compared_rows(options: ExperimentOptions) -> list[dict]:
    """Returns the rows of finished networks that were all judged by the same videos.

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
        name = network_name(row, options.fit)
        judged = [results[name, split] for split in splits]
        trained = read_config(judged[0].run.config)  # with the precision that auto meant
        records.append(record(row, name, trained, judged))
    return records


def collected_rows(folder: Path) -> list[dict]:
    """Returns rows of every network of both paths in the folder, trained on one split or more.

    Raises:
        UserError: if there is none, or the splits of a network differ in options, classes or
            views.
    """
    found: dict[Path, list[FitOptions]] = {}
    for run in finished_runs(folder):
        options = replaced(read_config(run.config), out=run.path)
        if set(options.network.paths) == set(PATHS) and options.collection.folds is None:
            siblings = RunFolder(run.path.parent).parts()  # of `fit --split all`
            network = run.path.parent if run.path != folder and run in siblings else run.path
            found.setdefault(network, []).append(options)
    if not found:
        raise UserError(
            f"{folder} holds no finished run of a network with both paths: train one with "
            "'python -m training.fit' or 'python -m training.experiments table2'"
        )
    records = []
    for network, runs in found.items():
        results = network_results(runs)
        for row in TABLES["table3"].rows:
            records.append(record(row, str(network.relative_to(folder)), runs[0], results))
    return records


def network_results(runs: Sequence[FitOptions]) -> list[RunResult]:
    """Returns the results of runs that differ in nothing but the split, and what is its own.

    Each split may have weights or a run of its own to start from: `{split}` in their path.

    Raises:
        UserError: if they differ in other options, in the classes or in the views.
    """
    first = runs[0]
    for other in runs[1:]:
        if changed := differences(_of_split(first, other), other):
            raise UserError(
                f"{first.run.out} and {other.run.out} were trained with different options: "
                f"{'; '.join(changed)}"
            )
    results = [read_result(options.run_folder()) for options in runs]
    check_same_protocol(results)
    return results


def _of_split(options: FitOptions, other: FitOptions) -> FitOptions:
    """Returns the options for the split of others; a path that is its own split's is theirs."""
    changes: dict[str, int | Path] = {"split": other.split}
    for name in ("scl_weights", "start_from"):
        paths = getattr(options.network, name), getattr(other.network, name)
        given = all(isinstance(path, Path) for path in paths)
        if given and are_of_one_path((options.split, other.split), paths):
            changes[name] = paths[1]
    return replaced(options, **changes)


if __name__ == "__main__":
    cli.run(main, ExperimentOptions, cluster_options=TrainingClusterOptions)
