"""A table of videos: a CSV file of `path,label[,split][,group]`."""

import csv
import os
from pathlib import Path

from fstcn_keras.error_texts import reason_of
from training.data.collections.dataset import Dataset
from training.data.collections.lists import listed_dataset
from training.data.groups import clean_path
from training.errors import UserError

SIDE_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def read_table(file: Path, data_dir: Path, *, split: int | None = 1) -> Dataset:
    """Reads a CSV file with a header: columns `path` and `label`, perhaps `split` and `group`.

    Paths are relative to the folder, or absolute and in it. A split is `train`, `val` or `test`;
    where no row says `test`, `val` is meant so. A group is the source, no one of which is on both
    sides of a split that is drawn. Other columns are passed over.

    Args:
        file: the table.
        data_dir: folder of the videos.
        split: number of the split.

    Raises:
        UserError: if the file cannot be read, lacks a column or a value, or names no video.
    """
    rows = _rows(file)
    paths = [_relative(row["path"], data_dir) for row in rows]
    sides = [_side(row, file) for row in rows]
    if "test" not in sides:
        sides = ["test" if side == "val" else side for side in sides]
    listed = [
        (path, row["label"], side) for path, row, side in zip(paths, rows, sides, strict=True)
    ]
    groups = {path: row["group"] for path, row in zip(paths, rows, strict=True) if "group" in row}
    classes = sorted({row["label"] for row in rows})
    files = {path for path in paths if (data_dir / path).is_file()}
    if not files:
        lacking = f"; {data_dir / paths[0]} is not there" if paths else ""
        raise UserError(
            f"--labels {file}: none of its {len(paths)} videos is below {data_dir}{lacking}: each "
            "path must be of a file there"
        )
    return listed_dataset(
        "folder", split, data_dir, (), classes, listed, files=files, groups=groups
    )


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            rows = [{key: (value or "").strip() for key, value in row.items() if key}
                    for row in reader]  # fmt: skip
    except (OSError, csv.Error) as error:
        raise UserError(f"--labels {file} cannot be read: {reason_of(error)}") from error
    columns = reader.fieldnames
    if lacking := [name for name in ("path", "label") if name not in columns]:
        raise UserError(
            f"--labels {file} has no column {lacking[0]}: its first line must be "
            f"path,label[,split][,group], got {','.join(columns)!r}"
        )
    needed = [name for name in ("path", "label", "split", "group") if name in columns]
    for number, row in enumerate(rows, start=2):
        if empty := [name for name in needed if not row[name]]:
            raise UserError(f"--labels {file}, row {number}: no {empty[0]} in {row}")
    return rows


def _relative(text: str, data_dir: Path) -> str:
    """Returns the path of a video below the folder."""
    path = clean_path(text)
    if os.path.isabs(path):
        path = os.path.relpath(os.path.realpath(path), os.path.realpath(data_dir))
    if path.startswith("../"):
        raise UserError(f"--labels names {text}, which does not lie in --data-dir {data_dir}")
    return path


def _side(row: dict[str, str], file: Path) -> str:
    side = SIDE_OF.get(row.get("split", "train").lower())
    if side is None:
        raise UserError(
            f"--labels {file}: the split of {row['path']} must be train, val or test, got "
            f"{row['split']!r}"
        )
    return side
