"""Video collections as lists: UCF-101, HMDB-51 and a folder with one sub-folder per class."""

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.cli import UserError
from training.data.groups import group_of, hold_out
from training.data.lookalikes import clusters

VIDEO_SUFFIXES = {".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg"}
HMDB_SIDES = {"0": "unused", "1": "train", "2": "test"}


@dataclass(frozen=True, slots=True)
class Video:
    """One listed video.

    Attributes:
        path: relative to the data set's root, with forward slashes; the video's identity.
        label: index of its class.
        side: `"train"`, `"test"` or `"unused"`.
        group: source that it was cut from; no group is on both sides of a held-out share.
    """

    path: str
    label: int
    side: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """One split of a collection.

    Attributes:
        name: the collection's name.
        split: number of the split, 1 to 3.
        root: folder that the videos' paths start from.
        classes: class names in the order of the labels.
        videos: the listed videos whose files exist.
        absent_classes: those without any training or test video; they have no label.
        missing: listed videos of the other classes without a file.
        unlisted: number of video files that no list names.
        left_out: files of a `folder` that are no candidates: of other kinds, loose in the root or
            in nested folders; hidden ones are not counted.
    """

    name: str
    split: int
    root: Path
    classes: tuple[str, ...]
    absent_classes: tuple[str, ...]
    videos: tuple[Video, ...]
    missing: tuple[Video, ...]
    unlisted: int
    left_out: tuple[str, ...] = ()

    def side(self, side: str) -> list[Video]:
        """The videos of one side."""
        return [video for video in self.videos if video.side == side]

    def __str__(self) -> str:
        counts = Counter(video.side for video in self.videos)
        text = (
            f"{self.name} split {self.split}: {len(self.classes)} classes, "
            f"{counts['train']} training and {counts['test']} test videos"
        )
        if counts["unused"]:
            text += f", {counts['unused']} in neither"
        if self.absent_classes:
            text += (
                f"; {len(self.absent_classes)} of "
                f"{len(self.classes) + len(self.absent_classes)} classes have no video, "
                f"e.g. {self.absent_classes[0]}"
            )
        tested = {video.label for video in self.side("test")}
        untested = [name for label, name in enumerate(self.classes) if label not in tested]
        if untested:
            text += f"; {len(untested)} classes have no test video, e.g. {untested[0]}"
        if self.missing:
            text += f"; {len(self.missing)} listed files are missing, e.g. {self.missing[0].path}"
        if self.unlisted:
            text += f"; {self.unlisted} files are in no list and are left out"
        if self.left_out:
            text += (
                f"; {len(self.left_out)} files of other kinds, loose or in nested folders left "
                f"out, e.g. {self.left_out[0]!r}"
            )
        return text


def ucf101(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """UCF-101: `CLASS/v_CLASS_gNN_cMM.avi` and the lists of `ucfTrainTestlist`.

    Raises:
        UserError: if a folder or list is not there, or no listed video is.
    """
    lists = _splits_folder(data_dir, splits_dir, "ucfTrainTestlist", "classInd.txt")
    numbers = {}
    for line in _lines(lists / "classInd.txt"):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name:
            raise UserError(f"{lists / 'classInd.txt'}: expected 'NUMBER CLASS', got {line!r}")
        numbers[name] = int(number)
    classes = sorted(numbers, key=numbers.get)
    listed = []
    for side in ("train", "test"):
        for line in _lines(lists / f"{side}list0{split}.txt"):
            path = line.rsplit(" ", 1)[0] if side == "train" else line
            class_name = path.split("/")[0]
            if class_name not in numbers:
                raise UserError(f"{side}list0{split}.txt: no class in classInd.txt for {line!r}")
            listed.append((path, class_name, side))
    return _dataset("ucf101", split, data_dir, ("UCF-101", "videos"), classes, listed)


def hmdb51(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """HMDB-51: `CLASS/*.avi` and the lists of `testTrainMulti_7030_splits`, flags 0, 1 and 2.

    Raises:
        UserError: if a folder or list is not there, or no listed video is.
    """
    ending = f"_test_split{split}.txt"
    lists = _splits_folder(data_dir, splits_dir, "testTrainMulti_7030_splits", f"*{ending}")
    listed = []
    for file in sorted(lists.glob(f"*{ending}")):
        class_name = file.name.removesuffix(ending)
        for line in _lines(file):
            name, _, flag = line.rpartition(" ")
            if flag not in HMDB_SIDES:
                raise UserError(f"{file}: expected 'NAME FLAG', FLAG 0, 1 or 2; got {line!r}")
            listed.append((f"{class_name}/{name}", class_name, HMDB_SIDES[flag]))
    classes = sorted({class_name for _, class_name, _ in listed})
    return _dataset("hmdb51", split, data_dir, ("hmdb51_org", "videos"), classes, listed)


def folder(data_dir: Path, *, splits_dir: Path | None = None, split: int = 1) -> Dataset:
    """Any collection laid out as `CLASS/*.{avi,mp4,mkv,mov,webm,mpg}`.

    With a folder of split files, in UCF-101's or HMDB-51's format, these decide. Without, all
    videos are training videos until `split_by_group` has drawn the test videos.

    Raises:
        UserError: if there is no such sub-folder.
    """
    if splits_dir is not None:
        read = ucf101 if any(splits_dir.glob("**/classInd.txt")) else hmdb51
        dataset = read(data_dir, splits_dir=splits_dir, split=split)
    else:
        listed = [(path, path.split("/")[0], "train") for path in sorted(_video_files(data_dir))]
        classes = sorted({*_empty_folders(data_dir), *(name for _, name, _ in listed)})
        dataset = _dataset("folder", split, data_dir, (), classes, listed)
    left_out = _left_out(dataset.root, besides=splits_dir)
    return dataclasses.replace(dataset, name="folder", left_out=left_out)


def split_by_group(dataset: Dataset, look_alike: Mapping[str, str]) -> Dataset:
    """Draws about 30 % of every class as test videos, other ones in each split.

    Videos of one source, as their names tell (see `groups.group_of`), stay on one side; so do
    those that look alike.

    Args:
        dataset: of `folder`, without test videos.
        look_alike: name of each video's cluster of near-duplicates, by path.
    """
    names = {video.path: video.group for video in dataset.videos}
    ties = [(path, first) for path, first in look_alike.items() if path != first]
    by_name = defaultdict(list)
    for path, name in names.items():
        by_name[path.split("/")[0], name].append(path)
    ties += [(paths[0], path) for paths in by_name.values() for path in paths[1:]]
    group_of_path = clusters(list(names), ties)
    # a group bears the name of its first video: look-alikes of two classes are drawn once
    items = [(path, group.split("/")[0], group) for path, group in group_of_path.items()]
    test = hold_out(items, fraction=0.3, salt=f"split {dataset.split}")
    videos = tuple(
        dataclasses.replace(
            video,
            side="test" if video.path in test else "train",
            group=group_of_path[video.path],
        )
        for video in dataset.videos
    )
    return dataclasses.replace(dataset, videos=videos)


def _dataset(name, split, data_dir, subfolders, classes, listed) -> Dataset:
    """Holds the lists against the files; classes without any file are left out."""
    counts = Counter(path for path, _, _ in listed)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise UserError(
            f"{data_dir}: the lists of split {split} name {len(twice)} videos more than once, "
            f"e.g. {twice[0]}: name each once, for training or for testing"
        )
    root = next((data_dir / sub for sub in subfolders if (data_dir / sub).is_dir()), data_dir)
    files = _video_files(root)
    present = {name for path, name, side in listed if path in files and side != "unused"}
    absent = tuple(name for name in classes if name not in present)
    classes = tuple(name for name in classes if name in present)
    for class_name in classes:
        if class_name != class_name.encode("utf-8", "replace").decode():
            raise UserError(f"{root}: folder {class_name!r} is not named in UTF-8: rename it")
        if len(class_name.splitlines()) > 1:  # the names are kept in a file, one a line
            raise UserError(f"{root}: folder {class_name!r} has a name of two lines: rename it")
    if not classes:
        raise UserError(
            f"no video of {name} found in {root}: expected folders named after the classes with "
            f"{'/'.join(sorted(VIDEO_SUFFIXES))} files; {len(listed)} listed, {len(files)} found"
        )
    videos, missing = [], []
    for path, class_name, side in listed:
        if class_name in present:
            video = Video(path, classes.index(class_name), side, group_of(path))
            (videos if path in files else missing).append(video)
    unlisted = len(files - {path for path, _, _ in listed})
    return Dataset(name, split, root, classes, absent, tuple(videos), tuple(missing), unlisted)


def _video_files(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.glob("*/*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not path.parent.name.startswith(".")
        and not path.name.startswith(".")
    }


def _empty_folders(root: Path) -> set[str]:
    """Classes whose videos are yet to come; of a folder that cannot be read it is not known."""
    names = (path.name for path in root.iterdir() if not path.name.startswith("."))
    contents = {name: next(os.walk(root / name), None) for name in names}
    return {name for name, found in contents.items() if found and not any(found[1:])}


def _left_out(root: Path, *, besides: Path | None) -> tuple[str, ...]:
    """Files that `_video_files` passes over; links to folders are followed in the root alone."""
    base, besides = root.resolve(), besides and besides.resolve()

    def is_entered(path: Path) -> bool:
        place = path.resolve()
        return not (path.name.startswith(".") or place == besides or base.is_relative_to(place))

    found = set()
    links = [path for path in base.iterdir() if path.is_symlink() and path.is_dir()]
    for start in (base, *filter(is_entered, links)):
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if is_entered(Path(folder, name))]
            found |= {Path(folder, name) for name in files if not name.startswith(".")}
    return tuple(sorted({path.relative_to(base).as_posix() for path in found} - _video_files(root)))


def _splits_folder(data_dir: Path, splits_dir: Path | None, name: str, pattern: str) -> Path:
    candidates = [splits_dir, splits_dir / name] if splits_dir else [data_dir / name, data_dir]
    for candidate in candidates:
        if any(candidate.glob(pattern)):
            return candidate
    raise UserError(
        f"no split files {pattern} in {' or '.join(map(str, candidates))}; "
        "name their folder with --splits-dir"
    )


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"split file {path} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
