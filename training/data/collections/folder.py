"""Any folder with one sub-folder of videos for each class."""

import dataclasses
import os
from pathlib import Path

from training.data.collections.dataset import Dataset
from training.data.collections.hmdb51 import read_hmdb51
from training.data.collections.lists import listed_dataset, video_files
from training.data.collections.ucf101 import read_ucf101


def read_folder(
    data_dir: Path, *, splits_dir: Path | None = None, split: int | None = 1
) -> Dataset:
    """Reads any collection laid out as `CLASS/*.{avi,mp4,mkv,mov,webm,mpg}`.

    With a folder of split files, in UCF-101's or HMDB-51's format, these decide. Without, all
    videos are training videos until `splits.open_data` draws the test videos.

    Raises:
        UserError: if there is no such sub-folder.
    """
    if splits_dir is not None:
        read = read_ucf101 if any(splits_dir.glob("**/classInd.txt")) else read_hmdb51
        dataset = read(data_dir, splits_dir=splits_dir, split=split)
    else:
        listed = [(path, path.split("/")[0], "train") for path in sorted(video_files(data_dir))]
        classes = sorted({*_empty_folders(data_dir), *(name for _, name, _ in listed)})
        dataset = listed_dataset("folder", split, data_dir, (), classes, listed)
    left_out = _left_out(dataset.root, besides=splits_dir)
    return dataclasses.replace(dataset, name="folder", left_out=left_out)


def _empty_folders(root: Path) -> set[str]:
    """Returns classes whose videos are yet to come; a folder that cannot be read is none."""
    names = (path.name for path in root.iterdir() if not path.name.startswith("."))
    contents = {name: next(os.walk(root / name), None) for name in names}
    return {name for name, found in contents.items() if found and not any(found[1:])}


def _left_out(root: Path, *, besides: Path | None) -> tuple[str, ...]:
    """Files that `video_files` passes over; links to folders are followed in the root alone."""
    base, besides = root.resolve(), besides and besides.resolve()

    def is_entered(path: Path) -> bool:
        target = path.resolve()
        return not (path.name.startswith(".") or target == besides or base.is_relative_to(target))

    found = set()
    links = [path for path in base.iterdir() if path.is_symlink() and path.is_dir()]
    for start in (base, *filter(is_entered, links)):
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if is_entered(Path(folder, name))]
            found |= {Path(folder, name) for name in files if not name.startswith(".")}
    return tuple(sorted({path.relative_to(base).as_posix() for path in found} - video_files(root)))
