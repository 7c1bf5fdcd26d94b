"""A table of what is said about many videos: a row a video, written as it is said."""

import contextlib
import csv
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from fstcn_keras.files import atomic_write
from fstcn_keras.prediction import VideoResult
from training.errors import UserError

SUFFIXES = (".csv", ".parquet")
COLUMNS = ("video", "class", "score", "problem", "novelty", "rejected")
TEXTS = ("video", "class", "problem", "rejected")
REJECTED = {True: "yes", False: "no", None: ""}
STATE = "file"  # last column of the rows that are kept, of no table
DECIMALS = 6


def check_format(file: Path):
    """Makes sure that a table of this name can be written.

    Raises:
        UserError: if it is to be a Parquet file and pyarrow is not installed.
    """
    if file.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"{file} needs pyarrow: pip install 'fstcn-keras[parquet]', or name a .csv file"
        )


class PredictionTable:
    """Writes the table of many videos, which is there under its name when it is whole.

    Until then the rows are in a CSV file beside it, whose name holds the key, each with the state
    of its video's file. It stays when the process is stopped, and the next table of the same name
    and key goes on from there. One process at a time writes it.

    Args:
        file: `.csv` or `.parquet`.
        classes: class names, in the order of their columns.
        key: tells the network and its views; what another has said is of no use.

    Attributes:
        partial: the file of the rows that are done.
    """

    def __init__(self, file: Path, *, classes: Sequence[str], key: str):
        self.partial = file.with_name(f"partial-{key}-{file.name}").with_suffix(".csv")
        self._file = file
        self._classes = tuple(classes)
        self._columns = [*COLUMNS, *(f"score_{name}" for name in classes)]
        self._states: dict[str, str] = {}
        self._stream: IO[str] | None = None
        self._lock = FileLock(self.partial.with_suffix(".lock"))

    def begin(self, videos: Sequence[Path]) -> list[Path]:
        """Opens the table; returns the videos to add.

        They are those that it lacks, that could not be read, or that have changed since they were
        to be added.

        Args:
            videos: all that it is of; each comes once.

        Raises:
            UserError: if another process writes it.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise UserError(
                f"another process writes {self._file}: wait until it has ended, or name another "
                "--out"
            ) from error
        by_name = {_text(video): video for video in videos}
        self._states, done = {name: _state(video) for name, video in by_name.items()}, set()
        with atomic_write(self.partial) as again, _csv(again, "w") as stream:
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow([*self._columns, STATE])
            for row in self._whole_rows():
                name, answer, *_, state = row
                is_as_it_was = self._states.get(name) in (state, "")  # or is gone
                if answer and name not in done and is_as_it_was:
                    done.add(name)
                    rows.writerow(row)
        self._stream = _csv(self.partial, "a")
        return [video for name, video in by_name.items() if name not in done]

    def add(self, result: VideoResult):
        """Writes the row of a video."""
        name = _text(result.source)
        row = [name]
        if (prediction := result.prediction) is None:
            row += ["", "", _text(result.reason), "", "", *([""] * len(self._classes))]
        else:
            scores = dict(zip(prediction.classes, prediction.scores, strict=True))
            row += [prediction.classes[0], _number(prediction.scores[0])]
            row.append(_text(prediction.incomplete))
            novelty = "" if prediction.novelty is None else _number(prediction.novelty)
            row += [novelty, REJECTED[prediction.rejected]]
            row += [_number(scores[name]) for name in self._classes]
        csv.writer(self._stream, lineterminator="\n").writerow([*row, self._states[name]])
        self._stream.flush()

    def finish(self):
        """Puts the whole table under its name."""
        self._stream.close()
        if self._file.suffix.lower() == ".parquet":
            self._write_parquet()
        else:
            with atomic_write(self._file) as whole, _csv(whole, "w") as stream:
                rows = csv.writer(stream, lineterminator="\n")
                rows.writerow(self._columns)
                rows.writerows(row[:-1] for row in self._whole_rows())
        self.partial.unlink()
        self.close()

    def close(self):
        """Closes the file of the rows, which stays, and lets others write it."""
        if self._stream is not None:
            self._stream.close()
        if self._lock.is_locked:
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()

    def _whole_rows(self) -> Iterator[list[str]]:
        """Reads the rows that a stopped process has left, without one that it began."""
        with contextlib.suppress(FileNotFoundError), _csv(self.partial, "r") as stream:
            rows = csv.reader(line for line in stream if line.endswith("\n"))
            if next(rows, None) == [*self._columns, STATE]:
                yield from (row for row in rows if len(row) == len(self._columns) + 1)

    def _write_parquet(self):
        import pyarrow
        from pyarrow import csv as arrow_csv
        from pyarrow import parquet

        types = {
            name: pyarrow.string() if name in TEXTS else pyarrow.float64() for name in self._columns
        }
        convert = arrow_csv.ConvertOptions(
            column_types=types,
            include_columns=self._columns,
            null_values=[""],
            strings_can_be_null=True,
        )
        parse = arrow_csv.ParseOptions(newlines_in_values=True)
        with (
            arrow_csv.open_csv(self.partial, parse_options=parse, convert_options=convert) as rows,
            atomic_write(self._file) as whole,
            parquet.ParquetWriter(whole, rows.schema) as writer,
        ):
            for batch in rows:
                writer.write_batch(batch)


def _text(value: Path | str) -> str:
    """Returns a path or reason as text; bytes that are no UTF-8, and CR, become escapes.

    A CR ends a row for some readers, and Python's writer does not quote it.
    """
    text = os.fsencode(value).decode("utf-8", errors="backslashreplace")
    return text.replace("\r", "\\r")


def _state(video: Path) -> str:
    """Returns what changes with the file: its size and time; nothing if there is none."""
    try:
        found = video.stat()
    except (OSError, ValueError):  # a path may be none
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _number(score: float) -> str:
    return f"{score:.{DECIMALS}f}"


def _csv(file: Path, mode: str) -> IO[str]:
    return file.open(mode, encoding="utf-8", newline="")
