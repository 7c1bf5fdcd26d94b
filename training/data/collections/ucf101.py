"""UCF-101 and collections whose split files have its form."""

from pathlib import Path

from training.data.collections.dataset import Dataset
from training.data.collections.lists import (
    listed_dataset,
    path_and_number,
    split_lines,
    splits_folder,
)
from training.errors import UserError


def read_ucf101(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """Reads UCF-101: `CLASS/v_CLASS_gNN_cMM.avi` and the lists of `ucfTrainTestlist`.

    Raises:
        UserError: if a folder or list is not there, or no listed video is.
    """
    lists = splits_folder(data_dir, splits_dir, "ucfTrainTestlist", "classInd.txt")
    numbers = {}
    for line in split_lines(lists / "classInd.txt"):
        number, _, name = line.replace("\t", " ").partition(" ")
        name = name.strip()
        if not number.isdecimal() or not name:
            raise UserError(f"{lists / 'classInd.txt'}: expected 'NUMBER CLASS', got {line!r}")
        numbers[name] = int(number)
    classes = sorted(numbers, key=numbers.get)
    listed = []
    for side in ("train", "test"):
        file = lists / f"{side}list{split:02d}.txt"
        for line in split_lines(file):
            path, number = path_and_number(line)
            class_name = path.split("/")[0]
            if class_name not in numbers:
                raise UserError(f"{file.name}: no class in classInd.txt for {line!r}")
            if number and int(number) != numbers[class_name]:
                raise UserError(
                    f"{file}: {path} bears the number {number}, but classInd.txt gives its folder "
                    f"{class_name} the number {numbers[class_name]}"
                )
            listed.append((path, class_name, side))
    return listed_dataset("ucf101", split, data_dir, ("UCF-101", "videos"), classes, listed)
