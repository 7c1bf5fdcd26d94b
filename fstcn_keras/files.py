"""Writes files that are whole or not there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Gives a path beside the file, of the same suffix, to write to.

    It is renamed to the file at the end, and removed on a failure. One writer at a time: where
    processes share a file, they hold its folder (`training.locks`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder) / "labels.csv") as partial:
        ...         _ = partial.write_text("jump,0")
        ...     print([file.name for file in Path(folder).iterdir()])
        ['labels.csv']

    Raises:
        OSError: with the name of the file, where writing fails.
    """
    partial = file.with_name(f"partial-{file.name}")
    try:
        yield partial
        partial.replace(file)
    except OSError as error:
        if error.errno is None or str(error.filename or partial) != str(partial):
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        partial.unlink(missing_ok=True)


def atomic_write_text(file: Path, text: str) -> None:
    """Writes a text by `atomic_write`, as UTF-8; bytes that were none stay as they were.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write_text(Path(folder) / "labels.csv", "jump,0")
        ...     print((Path(folder) / "labels.csv").read_text())
        jump,0
    """
    with atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
