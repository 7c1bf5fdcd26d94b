"""Which settings pay, without a look at the test videos: python -m training.tune CHANGES.yaml [...]

Takes the options of fit and a file of changes by name, each with other values of some options:

    plain: {}
    longer: {epochs: 40}
    more dropout: {dropout: 0.5, learning_rate: 0.0003}

The training videos of one split are divided into folds of whole sources (`--folds`, by default 3).
Each change is trained with `--seeds` seeds and judged on every fold; the split's test videos take
no part. The first is what the others are compared with. Where all of them train heads on encoded
views alone (`--epochs 0 --head-epochs 40 --encoded-views 8`), each is judged by its encoded views
of the fold's videos, which takes seconds, else by the whole protocol; runs that were judged
otherwise before are evaluated anew. The same command goes on where an interrupted one stopped. The
table goes to tune.md and tune.csv in --out, with a copy of the changes.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from fstcn_keras.files import atomic_write_text
from fstcn_keras.fusion import LABELS
from fstcn_keras.runs import RUNS
from training import cli
from training.errors import UserError
from training.judgement import interval_text
from training.on_cluster import TrainingClusterOptions
from training.options import FitOptions
from training.parts import build, check, flag, flat, leaves, option, part, positional, replaced
from training.scores import (
    RunScores,
    check_same_protocol,
    check_same_videos,
    read_scores,
    views_text,
)
from training.split_summary import deviation
from training.statistics import paired_difference
from training.tables import markdown_table, percent, to_csv

FOLDS = 3
SEED = 0  # of the bootstrap
FUSION = "sci"


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """Which changes, and of what."""

    changes: Path = positional("YAML file of changes by name, the first one for comparison")
    seeds: int = option(1, "trainings of each change on each fold, with seeds from --seed on")
    fit: FitOptions = part(
        FitOptions,
        out="folder of the table and the runs (default: runs/tune-FILE)",
        folds="folds of the training videos of --split (default: 3)",
        fold="not for this command, which tries all folds",
    )

    def __post_init__(self):
        check(self, ["seeds"], lambda number: number > 0, "be positive")

    def folder(self) -> Path:
        """Returns `--out`, or a folder named after the file of changes."""
        return self.fit.run.out or RUNS / f"tune-{self.changes.stem}"

    def trials(self) -> dict[str, list[FitOptions]]:
        """Returns the options of every change, with each seed, of all folds.

        Raises:
            UserError: if a change or what it comes to is no training, or --fold is given.
        """
        if self.fit.collection.fold not in (None, "all"):
            raise UserError("training.tune tries all folds: leave out --fold")
        given = flat(self.fit)
        common = {"split": given["split"] or 1, "folds": given["folds"] or FOLDS, "fold": "all"}
        trials = {}
        for name, change in read_changes(self.changes).items():
            folder = self.folder() / folder_name(name)
            try:
                fit = build(FitOptions, **{**given, **common, **change, "out": folder})
            except UserError as error:
                raise UserError(f"{self.changes}: {name}: {error}") from error
            first = fit.run.seed
            trials[name] = [
                replaced(fit, seed=seed, out=folder / f"seed{seed}")
                for seed in range(first, first + self.seeds)
            ]
        return trials


def main(options: TuneOptions):
    """Trains what the changes and folds need, and writes the table."""
    trials, changes = options.trials(), options.changes.read_text()
    from training.fitting import fit_runs  # TensorFlow: not before the options are sound

    runs = [run for trial in trials.values() for fit in trial for run in fit.each_split()]
    if not fit_runs(runs, by_encoded_views=trains_encoded_views(runs)):
        return
    records, text = compare(trials)
    file = options.folder() / "tune"
    atomic_write_text(file.with_suffix(".csv"), to_csv(records))
    atomic_write_text(file.with_suffix(".yaml"), changes)  # the file may be gone by now
    atomic_write_text(file.with_suffix(".md"), text)
    print(f"\n{text}\nresults in {file}.md and .csv")


def trains_encoded_views(runs: Sequence[FitOptions]) -> bool:
    """Tells whether all of the runs train nothing but heads, on encoded views of videos."""
    stages = [run.stages for run in runs]
    return all(s.head_epochs and s.encoded_views and not s.epochs for s in stages)


def read_changes(file: Path) -> dict[str, dict]:
    """Returns the changes of a file by name, as values of options of `fit`.

    Raises:
        UserError: if the file holds anything else than changes, two whose names are of one folder,
            or a change an option that decides which videos there are, or a value that the option
            does not take.
    """
    try:
        changes = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not a YAML file: {error}") from error
    if not isinstance(changes, dict) or not all(isinstance(c, dict) for c in changes.values()):
        raise UserError(f"{file} must hold lines such as 'longer: {{epochs: 40}}'")
    if len(changes) < 2:
        raise UserError(f"{file} holds {len(changes)} changes: name two or more to compare")
    videos = {leaf.name for leaf in leaves(type(FitOptions().collection))}
    fixed = videos | {"split", "out", "store", "num_clips"}
    _check_names(file, changes)
    values = {}
    for name, change in changes.items():
        known = {leaf.name for leaf in leaves(FitOptions)}
        if unknown := sorted(set(map(str, change)) - known):
            raise UserError(f"{file}: {name}: fit has no option {unknown[0]}")
        if taken := sorted(fixed & set(map(str, change))):
            raise UserError(f"{file}: {name}: {taken[0]} must be the same for all changes")
        argv = []
        for key, value in change.items():
            argv += [flag(str(key)), *map(str, value if isinstance(value, list) else [value])]
        try:
            parsed = cli.parse_values(FitOptions, argv)
        except UserError as error:
            raise UserError(f"{file}: {name}: {error}") from error
        values[str(name)] = {key: parsed[key] for key in change}
    return values


def folder_name(change: str) -> str:
    """Returns the name of the folder of a change's runs.

    Example:
        >>> folder_name("more dropout")
        'more-dropout'
    """
    return change.replace(" ", "-")


def _check_names(file: Path, names: Iterable[object]):
    """Makes sure that every change has a folder of its own, in that of the table."""
    named: dict[str, object] = {}
    for name in names:
        if not re.fullmatch(r"(?=.*\w)[\w.+ -]+", str(name)):
            raise UserError(
                f"{file}: the name {name!r} must be of letters, digits and - + . _, at least one "
                "of them a letter or digit"
            )
        folder = folder_name(str(name))
        if folder in named:
            raise UserError(
                f"{file}: {named[folder]!r} and {name!r} would be trained in one folder, "
                f"{folder}: rename one of them"
            )
        named[folder] = name


def compare(trials: dict[str, list[FitOptions]]) -> tuple[list[dict], str]:
    """Returns a record of each change, and the table of all in Markdown.

    Raises:
        UserError: if runs of a fold were not judged by the same videos, or some by encoded views
            and others by the whole protocol.
    """
    scores = {
        name: [[read_scores(run.run_folder()) for run in fit.each_split()] for fit in trial]
        for name, trial in trials.items()
    }
    all_folds = [*itertools.chain(*itertools.chain(*scores.values()))]
    encoded = all(fold.protocol.get("views") == "encoded" for fold in all_folds)
    check_same_protocol(all_folds, own_views=encoded)  # those are among what is tried
    for same_fold in zip(*itertools.chain(*scores.values()), strict=True):
        check_same_videos(same_fold, own_views=encoded)
    first, records = next(iter(scores.values())), []
    compared, _ = _answers(first)
    for name, by_seed in scores.items():
        right, sources = _answers(by_seed)
        difference = paired_difference(compared, right, sources, seed=SEED)
        accuracies = np.array([[_accuracy(fold) for fold in folds] for folds in by_seed])
        of_folds, of_seeds = accuracies.mean(axis=0), right.reshape(len(by_seed), -1).mean(axis=1)
        first_seed, *_ = trials[name]
        records.append(
            {
                "change": name,
                "mean": float(np.mean(accuracies)),
                "deviation": deviation(of_folds),
                **{f"fold{n}": float(mean) for n, mean in enumerate(of_folds, start=1)},
                "lowest_seed": float(of_seeds.min()),
                "highest_seed": float(of_seeds.max()),
                "difference": difference.difference,
                "low": difference.low,
                "high": difference.high,
                "p": difference.p,
                "recipe": first_seed.recipe_text(),
                "preset": first_seed.preset_text(),
            }
        )
    views = " or ".join(dict.fromkeys(views_text(fold.protocol) for fold in all_folds))
    return records, _to_markdown(records, first, views=views)


def _accuracy(fold: RunScores) -> float:
    return fold.accuracies["video"][FUSION]["top1"]


def _answers(by_seed: list[list[RunScores]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether each answer of each seed is right, and its source, fold after fold."""
    folds = itertools.chain(*by_seed)
    right, sources = zip(*(fold.answers(FUSION) for fold in folds), strict=True)
    return np.concatenate(right), np.concatenate(sources)


def _to_markdown(records: list[dict], by_seed: list[list[RunScores]], *, views: str) -> str:
    folds, seeds = by_seed[0], len(by_seed)
    protocol, first = folds[0].protocol, records[0]["change"]
    rows = [
        [
            record["change"],
            f"{100 * record['mean']:.1f} ± {percent(record['deviation'])}",
            ", ".join(f"{100 * record[f'fold{n}']:.1f}" for n in range(1, len(folds) + 1)),
            f"{100 * record['lowest_seed']:.1f} to {percent(record['highest_seed'])}",
            f"{100 * record['difference']:+.1f}",
            interval_text(record["low"], record["high"]),
            f"{record['p']:.3g}",
            f"preset {record['preset']}, recipe {record['recipe']}",
        ]
        for record in records
    ]
    videos = sum(fold.protocol["videos"] for fold in folds)
    headings = ["change", "top-1", "each fold", "over seeds", f"minus {first}"]
    lines = [
        f"{protocol['dataset']}, {len(folds)} folds of the training videos of split "
        f"{protocol['split']}: {videos} videos of {protocol['num_classes']} classes and "
        f"{len({*_answers(by_seed)[1]})} sources, each judged once"
        f"{f' with each of {seeds} seeds' if seeds > 1 else ''}; {views}, {LABELS[FUSION]}",
        "",
        *markdown_table([*headings, "95 % interval", "p", "network and recipe"], rows),
        "",
        "Accuracies are means over the folds ± the sample standard deviation; over seeds, those of "
        "all videos. Differences are over all videos; their intervals draw whole sources anew "
        "(bootstrap), and p is of the exact test that swaps two networks' answers to whole "
        "sources. The test videos of the split were not looked at.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(main, TuneOptions, cluster_options=TrainingClusterOptions)
