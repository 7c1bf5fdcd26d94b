"""Reads and writes what stands beside a network: class names, view plan, when it refuses."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from fstcn_keras.files import atomic_write_text
from fstcn_keras.rejection import Rejection
from fstcn_keras.views.plan import ViewPlan

Described = TypeVar("Described")
MAX_DESCRIPTION_BYTES = 2**24  # of each of the files


def save_description(
    folder: Path, classes: Sequence[str], plan: ViewPlan, rejection: Rejection | None = None
) -> None:
    """Writes `classes.txt`, `views.json` and, if there is one, `rejection.json`.

    The folder is made if need be; a `rejection.json` of before is removed.

    Example:
        >>> import tempfile
        >>> from fstcn_keras.config import FSTCNConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_description(Path(folder), ["jump", "run"], ViewPlan.from_config(FSTCNConfig()))
        ...     (Path(folder) / "classes.txt").read_text().split()
        ['jump', 'run']
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in description_texts(classes, plan).items():
        atomic_write_text(folder / name, text)
    save_rejection(folder, rejection)


def description_texts(classes: Sequence[str], plan: ViewPlan) -> dict[str, str]:
    """Returns the contents of the files that `save_description` writes, by their names.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig())
        >>> description_texts(["jump", "run"], plan)["classes.txt"].split()
        ['jump', 'run']
    """
    names = "".join(f"{name}\n" for name in classes)
    return {"classes.txt": names, "views.json": json.dumps(plan.settings(), indent=1)}


def save_rejection(folder: Path, rejection: Rejection | None) -> None:
    """Writes `rejection.json` into a folder that is there, or removes it if there is none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_rejection(Path(folder), None)
        ...     list(Path(folder).iterdir())
        []
    """
    file = folder / "rejection.json"
    if rejection is None:
        file.unlink(missing_ok=True)
    else:
        atomic_write_text(file, json.dumps(rejection.settings(), indent=1))


def load_description(folder: Path) -> tuple[list[str], ViewPlan]:
    """Reads the class names and the view plan that `save_description` wrote.

    Example:
        >>> import tempfile
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_description(Path(folder), ["jump", "run"], plan)
        ...     classes, loaded = load_description(Path(folder))
        >>> classes, loaded == plan
        (['jump', 'run'], True)

    Raises:
        FileNotFoundError: if the folder lacks one of the files.
        ValueError: if one is damaged.
    """
    plan = _made(ViewPlan, existing_file(folder / "views.json"))
    return _classes(existing_file(folder / "classes.txt")), plan


def check_classes(classes: Sequence[str]) -> None:
    """Makes sure that class names can be kept in a file, one a line.

    Example:
        >>> check_classes(["jump", "run", "jump"])
        Traceback (most recent call last):
        ValueError: expected each class once, found 'jump' again

    Raises:
        ValueError: if one is empty, of several lines, not UTF-8 or there twice.
    """
    for number, name in enumerate(classes, 1):
        is_line = bool(name.strip()) and not {"\n", "\r"} & set(name)
        if not is_line or name != name.encode("utf-8", "replace").decode():
            raise ValueError(
                f"expected a name of one line in UTF-8 for class {number}, found {name!r}"
            )
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"expected each class once, found {twice!r} again")


def load_rejection(folder: Path) -> Rejection | None:
    """Reads from when on a network refuses a video.

    Example:
        >>> load_rejection(Path("no-such-run")) is None
        True

    Returns:
        `None` if the folder holds no `rejection.json`.

    Raises:
        ValueError: if it is damaged.
    """
    file = folder / "rejection.json"
    return _made(Rejection, file) if file.is_file() else None


def _made(described: Callable[..., Described], file: Path) -> Described:
    """Returns what the settings in a file make."""
    try:
        settings = json.loads(_text(file))
        if not isinstance(settings, dict):
            raise ValueError(f"expected an object of settings, found {type(settings).__name__}")
        return described(**settings)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def _classes(file: Path) -> list[str]:
    names = _text(file).removesuffix("\n").split("\n")
    try:
        check_classes(names)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    return names


def _text(file: Path) -> str:
    if (size := file.stat().st_size) > MAX_DESCRIPTION_BYTES:
        raise ValueError(
            f"{file} is damaged: expected at most {MAX_DESCRIPTION_BYTES} bytes, found {size}"
        )
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is damaged: expected UTF-8, found {error.reason}") from error


def existing_file(file: Path) -> Path:
    """Returns a file that a run's folder must hold.

    Example:
        >>> existing_file(Path("no-such-run/model.keras"))
        Traceback (most recent call last):
        FileNotFoundError: there is no folder no-such-run

    Raises:
        FileNotFoundError: if it is not there; names the folders inside that hold it.
    """
    if file.is_file():
        return file
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent}")
    inner = sorted(str(other.parent) for other in file.parent.glob(f"*/{file.name}"))
    hint = f"; name one of the folders in it: {', '.join(inner)}" if inner else ""
    raise FileNotFoundError(f"{file.parent} lacks {file.name}{hint}")
