"""HMDB-51 and collections whose split files have its form."""

from pathlib import Path

from training.data.collections.dataset import Dataset
from training.data.collections.lists import (
    listed_dataset,
    path_and_number,
    split_lines,
    splits_folder,
)
from training.errors import UserError

SIDES = {"0": "unused", "1": "train", "2": "test"}  # by flag


def read_hmdb51(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """Reads HMDB-51: `CLASS/*.avi` and the lists of `testTrainMulti_7030_splits`, flags 0, 1 and 2.

    Raises:
        UserError: if a folder or list is not there, or no listed video is.
    """
    ending = f"_test_split{split}.txt"
    lists = splits_folder(data_dir, splits_dir, "testTrainMulti_7030_splits", f"*{ending}")
    listed = []
    for file in sorted(lists.glob(f"*{ending}")):
        class_name = file.name.removesuffix(ending)
        for line in split_lines(file):
            path, flag = path_and_number(line)
            folder, _, name = path.rpartition("/")
            if flag not in SIDES:
                raise UserError(f"{file}: expected 'NAME FLAG', FLAG 0, 1 or 2; got {line!r}")
            if folder not in ("", class_name):
                raise UserError(f"{file} is of class {class_name}, but names a video of {path}")
            listed.append((f"{class_name}/{name}", class_name, SIDES[flag]))
    classes = sorted({class_name for _, class_name, _ in listed})
    return listed_dataset("hmdb51", split, data_dir, ("hmdb51_org", "videos"), classes, listed)
