"""Options in files: the `config.yaml` of a run."""

from pathlib import Path

import yaml

from fstcn_keras.files import atomic_write_text
from training.cli import parse
from training.errors import UserError
from training.options.fit import FitOptions
from training.parts import Options, flat, leaves, replaced

ADDED = {
    "groups",
    "labels",
    "classes",
    "exclude",
    "ignore_look_alikes",
    "folds",
    "fold",
    "start_from",
    "min_steps",
    "class_weights",
    "no_baseline",
    "reject_at",
}  # older runs are without them, and were trained by today's defaults
# what older runs were trained by, where today's default is another
THEN = {"sampling": "dense", "path_views": "same"}


def write_config(options, file: Path):
    """Writes the options as YAML; `python -m training.fit --config FILE` repeats the run."""
    atomic_write_text(file, yaml.safe_dump(_plain(options), sort_keys=False))


def read_config(file: Path, options_class: type[Options] = FitOptions) -> Options:
    """Reads what `write_config` wrote, also for a run from before there were all options.

    Raises:
        UserError: if the file is missing, or does not hold all options of a run and nothing else.
    """
    if not file.is_file():
        raise UserError(f"{file.parent} is not the folder of a training run: no {file.name}")
    try:
        options = parse(options_class, ["--config", str(file)])
        written = yaml.safe_load(file.read_text())
    except (UserError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file} does not hold the options of a run: {error}") from error
    absent = {leaf.name for leaf in leaves(options_class)} - set(written)
    lacking = sorted(absent - ADDED - THEN.keys())
    if lacking:  # today's defaults may be others than those it was trained by
        raise UserError(
            f"{file} is of an older version and lacks {', '.join(lacking)}: add what the run was "
            "trained with, or train anew"
        )
    return replaced(options, **{name: THEN[name] for name in THEN.keys() & absent})


def differences(options: Options, other: Options) -> list[str]:
    """Returns the options in which two runs differ, as `name: value, not other value`.

    Where the run and the store lie makes no difference, nor a baseline beside it; the precision
    `auto` is like any other.
    """
    one, two = _plain(options), _plain(other)
    alike = {"out", "store", "no_baseline"}
    if "auto" in (one["precision"], two["precision"]):
        alike.add("precision")
    changed = [name for name in one if one[name] != two[name] and name not in alike]
    return [f"{name}: {one[name]}, not {two[name]}" for name in changed]


def _plain(options) -> dict:
    def plain(value):
        if isinstance(value, Path):
            return str(value.resolve())
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in flat(options).items()}
