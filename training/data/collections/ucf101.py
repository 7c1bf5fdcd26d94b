"""UCF-101 and collections whose split files have its form."""

from pathlib import Path

from training.data.collections.dataset import Dataset
from training.data.collections.lists import listed_dataset, split_lines, splits_folder
from training.errors import UserError


def read_ucf101(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """Reads UCF-101: `CLASS/v_CLASS_gNN_cMM.avi` and the lists of `ucfTrainTestlist`.

    Raises:
        UserError: if a folder or list is not there, or no listed video is.
    """
    lists = splits_folder(data_dir, splits_dir, "ucfTrainTestlist", "classInd.txt")
    numbers = {}
    for line in split_lines(lists / "classInd.txt"):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name:
            raise UserError(f"{lists / 'classInd.txt'}: expected 'NUMBER CLASS', got {line!r}")
        numbers[name] = int(number)
    classes = sorted(numbers, key=numbers.get)
    listed = []
    for side in ("train", "test"):
        for line in split_lines(lists / f"{side}list0{split}.txt"):
            path = line.rsplit(" ", 1)[0] if side == "train" else line
            class_name = path.split("/")[0]
            if class_name not in numbers:
                raise UserError(f"{side}list0{split}.txt: no class in classInd.txt for {line!r}")
            listed.append((path, class_name, side))
    return listed_dataset("ucf101", split, data_dir, ("UCF-101", "videos"), classes, listed)
