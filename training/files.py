"""Files that are whole or not there, and folders that one process at a time works in."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def aside(file: Path) -> Iterator[Path]:
    """A path beside the file to write to; renamed to it at the end, removed on a failure."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_aside(file: Path, text: str):
    """Writes the text to a file beside, then renames it."""
    with aside(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


@contextlib.contextmanager
def locked(folder: Path):
    """Holds the folder for this process; the kernel lets go of it if the process dies."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that prepares {folder}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
