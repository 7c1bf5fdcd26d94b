"""Files that are whole or not there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """A path beside the file, of the same suffix, to write to.

    It is renamed to the file at the end, and removed on a failure.

    Raises:
        OSError: with the name of the file, where writing fails without telling one.
    """
    partial = file.with_name(f"partial-{file.name}")
    try:
        yield partial
        partial.replace(file)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        partial.unlink(missing_ok=True)


def atomic_write_text(file: Path, text: str) -> None:
    """Writes the text to a file beside, then renames it."""
    with atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
