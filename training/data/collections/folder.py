"""Any folder of videos, whose classes are folders or named in a table."""

import dataclasses
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from fstcn_keras.video.suffixes import is_video
from training.data.collections.dataset import Dataset
from training.data.collections.hmdb51 import read_hmdb51
from training.data.collections.lists import listed_dataset, video_files
from training.data.collections.table import SIDE_OF, read_table
from training.data.collections.ucf101 import read_ucf101
from training.errors import UserError

NUMBERED = re.compile(r"[A-Za-z]*[ _-]?\d+")  # how people and recordings are named


def read_folder(
    data_dir: Path,
    *,
    splits_dir: Path | None = None,
    labels: Path | None = None,
    split: int | None = 1,
) -> Dataset:
    """Reads any collection: classes are named by a table, by folders, or by split files.

    With a folder of split files, in UCF-101's or HMDB-51's format, these decide; with a table its
    rows. Otherwise folders name the classes: `CLASS/*`, `{train,val,test}/CLASS/*`, which is a
    split, or `PERSON/CLASS/*`. Where nothing names a split, all videos are training videos until
    `splits.open_data` draws the test videos.

    Args:
        data_dir: the folder.
        splits_dir: folder of the split files.
        labels: the table, a CSV file, see `table.read_table`.
        split: number of the split; `None` takes all videos as training videos.

    Raises:
        UserError: if no layout fits, or the split is not there.
    """
    known = set()
    if splits_dir is not None:
        read = read_ucf101 if any(splits_dir.glob("**/classInd.txt")) else read_hmdb51
        dataset = read(data_dir, splits_dir=splits_dir, split=split)
        known = video_files(dataset.root)  # those of no list are counted already
    elif labels is not None:
        dataset = _of_own_split(read_table(labels, data_dir, split=split), split)
    else:
        dataset = _of_own_split(_read_classes(data_dir, split), split)
    known.update(video.path for video in dataset.videos)
    left_out = _left_out(dataset.root, known, besides=splits_dir or labels)
    unlisted = {path for path in left_out if labels is not None and is_video(path)}
    return dataclasses.replace(
        dataset,
        name="folder",
        unlisted=dataset.unlisted + len(unlisted),
        left_out=tuple(path for path in left_out if path not in unlisted),
    )


def _read_classes(root: Path, split: int | None) -> Dataset:
    """Reads what folders say."""
    shallow, deep = video_files(root), video_files(root, depth=3)
    names = {path.split("/")[0] for path in shallow | deep}
    if names and all(name.lower() in SIDE_OF for name in names):
        if shallow:
            raise UserError(
                f"{root}: folders {', '.join(sorted(names))} are sides of a split, not classes, "
                f"and videos lie loose in them, e.g. {min(shallow)}: expected "
                "{train,val,test}/CLASS/*, or a CSV file of path,label,split with --labels"
            )
        return _nested(root, deep, split, "sides")
    if not shallow and deep:
        return _nested(root, deep, split, _kind_of_nesting(root, deep))
    listed = [(path, path.split("/")[0], "train") for path in sorted(shallow)]
    classes = sorted({*_empty_folders(root), *(name for _, name, _ in listed)})
    if not listed:
        raise UserError(_no_videos(root))
    return listed_dataset("folder", split, root, (), classes, listed, files=shallow)


def _nested(root: Path, files: set[str], split: int | None, kind: str) -> Dataset:
    """Reads `OUTER/INNER/*`; the outer folder is a side, a person or, of persons, the class."""
    listed, groups = [], {}
    sides = {SIDE_OF[path.split("/")[0].lower()] for path in files} if kind == "sides" else set()
    for path in sorted(files):
        outer, inner, _ = path.split("/")
        side = "train"
        if kind == "sides":
            side = SIDE_OF[outer.lower()]
            side = "test" if side == "val" and "test" not in sides else side
        elif kind == "persons":
            groups[path] = outer
        else:
            outer, inner = inner, outer
            groups[path] = outer
        listed.append((path, inner, side))
    classes = sorted({name for _, name, _ in listed})
    if kind != "sides":
        print(
            f"{root}: {len(set(groups.values()))} sources, e.g. {min(groups.values())!r}, of "
            f"classes such as {classes[0]!r}"
        )
    return listed_dataset("folder", split, root, (), classes, listed, files=files, groups=groups)


def _kind_of_nesting(root: Path, files: Iterable[str]) -> str:
    """Tells `PERSON/CLASS/*` from `CLASS/PERSON/*`: names of persons are numbered, or recur not.

    Raises:
        UserError: if no inner folder recurs, so that neither is meant.
    """
    outers_of = defaultdict(set)
    for path in files:
        outer, inner, _ = path.split("/")
        outers_of[inner].add(outer)
    if all(len(outers) == 1 for outers in outers_of.values()):
        raise UserError(
            f"{root}: videos lie in nested folders, e.g. {min(files)}, none of whose names recurs: "
            "expected CLASS/*, PERSON/CLASS/* or {train,val,test}/CLASS/*; or name the classes in "
            "a CSV file of path,label with --labels"
        )
    outers = set.union(*outers_of.values())
    is_numbered = [all(map(NUMBERED.fullmatch, names)) for names in (outers, outers_of)]
    return "classes" if is_numbered == [False, True] else "persons"


def _of_own_split(dataset: Dataset, split: int | None) -> Dataset:
    """Returns the same; of folds with all videos as training videos.

    Raises:
        UserError: if it has a split of its own, and another one is asked for.
    """
    if not any(video.side == "test" for video in dataset.videos + dataset.missing):
        return dataset
    if split is None:
        return dataset.with_each(lambda video: dataclasses.replace(video, side="train"))
    if split != 1:
        raise UserError(f"{dataset.root} has one split of its own: there is no --split {split}")
    return dataset


def _no_videos(root: Path) -> str:
    """Says what lies in a folder without videos of classes."""
    loose = [path.name for path in root.iterdir() if path.is_file() and is_video(path.name)]
    if loose:
        kinds = Counter(Path(name).suffix.lower() for name in loose)
        found = ", ".join(f"{count} {kind} files" for kind, count in kinds.most_common())
        return (
            f"{root}: {found} lie in the folder itself, so that nothing names their classes: move "
            "them into a folder for each class, or write a CSV file of path,label and name it "
            "with --labels"
        )
    kinds = Counter(Path(path).suffix.lower() or "unnamed" for path in _left_out(root, set()))
    found = ", ".join(f"{count} {kind} files" for kind, count in kinds.most_common(5))
    return (
        f"no video found in {root}: expected folders named after the classes with videos, such as "
        f".avi or .mp4 files; {found or 'nothing'} found"
    )


def _empty_folders(root: Path) -> set[str]:
    """Returns classes whose videos are yet to come; a folder that cannot be read is none."""
    names = (path.name for path in root.iterdir() if not path.name.startswith("."))
    contents = {name: next(os.walk(root / name), None) for name in names}
    return {name for name, found in contents.items() if found and not any(found[1:])}


def _left_out(root: Path, taken: set[str], *, besides: Path | None = None) -> tuple[str, ...]:
    """Files besides those taken; links to folders are followed in the root alone."""
    base, besides = root.resolve(), besides and besides.resolve()

    def is_entered(path: Path) -> bool:
        target = path.resolve()
        return not (path.name.startswith(".") or target == besides or base.is_relative_to(target))

    found = set()
    links = [path for path in base.iterdir() if path.is_symlink() and path.is_dir()]
    for start in (base, *filter(is_entered, links)):
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if is_entered(Path(folder, name))]
            paths = (Path(folder, name) for name in files if not name.startswith("."))
            found |= {path for path in paths if path != besides}
    return tuple(sorted({path.relative_to(base).as_posix() for path in found} - taken))
