"""What a training starts from: a file of weights or a run, one for each split or fold."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from fstcn_keras.config import preset_config
from fstcn_keras.runs import PART_FOLDER, RunFolder
from training.errors import UserError
from training.parts import flag

ALIKE = ("preset", "scl", "initialization")  # as in the run: they decide what layers there are
_REQUIRED = (*ALIKE, "paths", "temporal_kernels", "short_side", "dropout")
# unless given; old runs lack the last three
INHERITED = (*_REQUIRED, "stride", "distance", "sampling")


def part_path(path: Path, split: int | str | None, fold: int | str | None) -> Path:
    """Returns the path with the numbers of split and fold for `{split}` and `{fold}`."""
    text = str(path)
    for name, number in (("split", split), ("fold", fold)):
        if number not in (None, "all"):
            text = text.replace(f"{{{name}}}", str(number))
    return Path(text)


def are_of_one_path(numbers: tuple[int, int], paths: tuple[Path, Path]) -> bool:
    """Returns whether two paths may be what `part_path` makes of one, for two splits or folds.

    Example:
        >>> are_of_one_path((1, 2), (Path("v1/split1.h5"), Path("v1/split2.h5")))
        True
        >>> are_of_one_path((1, 2), (Path("v1/split1.h5"), Path("v1/split3.h5")))
        False

    Args:
        numbers: of the splits or folds.
        paths: of each of them, filled in.
    """
    one, other = map(str, paths)
    either = "|".join(map(str, numbers))
    pattern = f"({either})".join(map(re.escape, one.split(str(numbers[0]))))
    return re.fullmatch(pattern, other) is not None


def run_values(run: Path) -> dict:
    """Returns those options of a run that matter to one that starts from it.

    Raises:
        UserError: if the folder is not that of a run.
    """
    file = RunFolder(run).config
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = {name: values[name] for name in (*_REQUIRED, "optimizer")}
        found |= {name: values[name] for name in INHERITED if name in values}
        network = {name: found[name] for name in INHERITED if name in found}
        network["backbone"] = network.pop("scl")
        preset_config(**network)  # for its checks
    except KeyError as error:
        raise _not_a_run(file, f"lacks {error.args[0]}") from error
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise _not_a_run(file, error) from error
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


def _not_a_run(file: Path, reason: object) -> UserError:
    text = f"--start-from {file.parent} is not the folder of a training run"
    return UserError(f"{text}: {file.name}: {reason}")


def check_alike(run: Path, values: Mapping, given: Mapping):
    """Makes sure that what is given of the network is as in the run that it starts from.

    Args:
        run: the folder.
        values: of the run's options, by name.
        given: options of the training, `None` where they are to be as in the run.

    Raises:
        UserError: if it is not.
    """
    for name in values.keys() & set(ALIKE):
        if given[name] not in (None, values[name]):
            raise UserError(
                f"{flag(name)} {given[name]} is not that of --start-from {run}, {values[name]}: "
                "leave it out, as the run decides"
            )


def start_name(path: Path) -> str:
    """Returns the name of a run to start from; of one of several splits that of all, too."""
    is_part = PART_FOLDER.fullmatch(path.name)
    if is_part or "{" in path.name:
        return f"{path.parent.name}-{path.name}" if is_part else path.parent.name
    return path.name
