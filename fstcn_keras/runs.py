"""Finds the folder of a training run or SavedModel that a command means."""

import sys
from collections.abc import Sequence
from pathlib import Path

RUNS = Path("runs")  # where `python -m training.fit` makes them


def newest_run(root: Path = RUNS) -> Path:
    """Returns the finished run below the folder whose network was trained last.

    A run is finished when it holds its network and its accuracies, which are written last.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Path(folder) / "small"
        ...     run.mkdir()
        ...     for name in ("model.keras", "metrics.json"):
        ...         (run / name).touch()
        ...     print(newest_run(Path(folder)).name)
        small

    Raises:
        FileNotFoundError: if there is none.
    """
    networks = [metrics.with_name("model.keras") for metrics in root.rglob("metrics.json")]
    trained = [network for network in networks if network.is_file()]
    if not trained:
        raise FileNotFoundError(
            f"no finished run under {root}/: name the folder of a run, or make one by "
            "'python -m training.fit'"
        )
    return max(trained, key=lambda network: network.stat().st_mtime_ns).parent


def chosen_run(run: Path | None) -> Path:
    """Returns the run; if none is given the newest finished one, which is named on stderr.

    Example:
        >>> chosen_run(Path("runs/small")).name
        'small'

    Raises:
        FileNotFoundError: see `newest_run`.
    """
    if run is None:
        run = newest_run()
        print(f"taking {run}, the newest finished run", file=sys.stderr)
    return run


def run_and_files(arguments: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Tells a command's `[RUN] FILE...` apart: a folder that comes first is the run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run, files = run_and_files([Path(folder), Path("a.mp4")])
        ...     print(run == Path(folder), [file.name for file in files])
        True ['a.mp4']

    Raises:
        FileNotFoundError: see `newest_run`; or the first does not exist, and has no suffix as files
            have: a run whose name is mistyped, in whose place no other one is taken.
    """
    if arguments and arguments[0].is_dir():
        return arguments[0], list(arguments[1:])
    if arguments and not arguments[0].suffix and not arguments[0].exists():
        raise FileNotFoundError(f"{arguments[0]}: there is no such run, nor such a file")
    return chosen_run(None), list(arguments)


def model_name(folder: Path) -> str:
    """Returns the name of the run, or of the SavedModel whose version the folder is.

    Example:
        >>> model_name(Path("runs/small"))
        'small'
    """
    folder = folder.resolve()
    is_version = (folder / "saved_model.pb").is_file() and folder.name.isdecimal()
    return (folder.parent if is_version else folder).name


def saved_model_version(folder: Path) -> Path | None:
    """Returns the folder of a SavedModel, the given one or its newest version's; or `None`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for version in ("9", "10"):
        ...         (Path(folder) / version).mkdir()
        ...         (Path(folder) / version / "saved_model.pb").touch()
        ...     print(saved_model_version(Path(folder)).name)
        10
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [file.parent for file in folder.glob("*/saved_model.pb")]
    numbered = [version for version in versions if version.name.isdecimal()]
    return max(numbered, key=lambda version: int(version.name), default=None)
