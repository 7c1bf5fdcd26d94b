"""Names of classes, as folders, tables and command lines give them."""

import csv
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from training.errors import UserError


def composed(name: str) -> str:
    """Returns the name in Unicode's normal form C: an accent is one character with its letter.

    File systems and keyboards differ in how they write the same name.

    Example:
        >>> composed("cafe\\N{COMBINING ACUTE ACCENT}") == "caf\\N{LATIN SMALL LETTER E WITH ACUTE}"
        True
    """
    return unicodedata.normalize("NFC", name)


def check_name(name: str, root: Path) -> None:
    """Checks that a class can be named so: in UTF-8, and in one line, as lists of classes are kept.

    Args:
        name: of the class.
        root: folder of the collection, which the message names.

    Raises:
        UserError: if it cannot.
    """
    if name != name.encode("utf-8", "replace").decode():
        raise UserError(f"{root}: class {name!r} is not named in UTF-8: rename it")
    if name.splitlines() != [name] or not name.strip():
        raise UserError(f"{root}: class {name!r} has no name of one line: rename it")


def split_names(text: str) -> list[str]:
    """Takes names with commas between apart; one that has commas itself stands in double quotes.

    Each comes once, in the order given.

    Example:
        >>> split_names('run, "sit, then stand", run')
        ['run', 'sit, then stand']
    """
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    names = (composed(name.strip()) for row in rows for name in row)
    return list(dict.fromkeys(filter(None, names)))


def join_names(names: Iterable[str]) -> str:
    """Writes names so that `split_names` takes them apart.

    Example:
        >>> join_names(["run", "sit, then stand"])
        'run, "sit, then stand"'
    """
    return ", ".join(
        '"{}"'.format(name.replace('"', '""')) if set(name) & set(',"') else name for name in names
    )
