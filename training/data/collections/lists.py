"""Split lists held against the files that are there."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fstcn_keras.error_texts import reason_of
from fstcn_keras.video.suffixes import is_video
from training.class_names import check_name, composed
from training.data.collections.dataset import Dataset, Video
from training.data.groups import clean_path, source_group
from training.errors import UserError


def listed_dataset(
    name: str,
    split: int | None,
    data_dir: Path,
    subfolders: Sequence[str],
    classes: Sequence[str],
    listed: Sequence[tuple[str, str, str]],
    *,
    files: set[str] | None = None,
    groups: Mapping[str, str] | None = None,
) -> Dataset:
    """Holds the lists against the files; classes without any file are left out.

    Args:
        name: of the collection.
        split: number of the split; `None` of a fold.
        data_dir: folder of the collection.
        subfolders: of it, the first of which that is there is the root of the videos.
        classes: names in the order of the labels; spellings of the same characters are one.
        listed: path, class name and side of each video.
        files: paths of the videos that are there; `None` for those of `CLASS/*`.
        groups: sources by path; of others the name of the file tells.

    Raises:
        UserError: if a video is listed twice, a class cannot be named, or there is no video.
    """
    counts = Counter(path for path, _, _ in listed)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise UserError(
            f"{data_dir}: the lists of split {split} name {len(twice)} videos more than once, "
            f"e.g. {twice[0]}: name each once, for training or for testing"
        )
    root = next((data_dir / sub for sub in subfolders if (data_dir / sub).is_dir()), data_dir)
    files = video_files(root) if files is None else files
    listed = [(path, composed(name), side) for path, name, side in listed]
    present = {name for path, name, side in listed if path in files and side != "unused"}
    classes = tuple(dict.fromkeys(map(composed, classes)))
    absent = tuple(name for name in classes if name not in present)
    classes = tuple(name for name in classes if name in present)
    for class_name in classes:
        check_name(class_name, root)
    if not classes:
        raise UserError(
            f"no listed video of {name} found in {root}: {len(listed)} listed"
            + (f", e.g. {listed[0][0]}" if listed else "")
            + f"; {len(files)} files found"
            + (f", e.g. {min(files)}" if files else "")
            + ": the lists' paths must be those of the files below that folder"
        )
    videos, missing = [], []
    for path, class_name, side in listed:
        if class_name in present:
            video = Video(
                path,
                classes.index(class_name),
                side,
                (groups or {}).get(path) or source_group(path),
            )
            (videos if path in files else missing).append(video)
    unlisted = len(files - {path for path, _, _ in listed})
    return Dataset(name, split, root, classes, absent, tuple(videos), tuple(missing), unlisted)


def video_files(root: Path, *, depth: int = 2) -> set[str]:
    """Returns the paths of the videos in folders of the root, hidden ones left out.

    Args:
        root: the folder.
        depth: number of a path's parts: 2 for `CLASS/*`.
    """
    found = (path.relative_to(root) for path in root.glob("/".join("*" * depth)) if is_video(path))
    return {path.as_posix() for path in found if not any(part[0] == "." for part in path.parts)}


def splits_folder(data_dir: Path, splits_dir: Path | None, name: str, pattern: str) -> Path:
    """Returns the folder that holds the split files.

    Raises:
        UserError: if none of those where they may be does.
    """
    candidates = [splits_dir, splits_dir / name] if splits_dir else [data_dir / name, data_dir]
    for candidate in candidates:
        if any(candidate.glob(pattern)):
            return candidate
    raise UserError(
        f"no split files {pattern} in {' or '.join(map(str, candidates))}; "
        "name their folder with --splits-dir"
    )


def split_lines(path: Path) -> list[str]:
    """Returns the lines of a split file or other list, without blanks around them and empty ones.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from error
    return [line.strip() for line in lines if line.strip()]


def path_and_number(line: str) -> tuple[str, str]:
    """Takes a line of a list apart: the path, cleaned, and the number behind it, if one is there.

    Example:
        >>> path_and_number("./wave/b 2.avi \\t1")
        ('wave/b 2.avi', '1')
        >>> path_and_number("wave/b 2.avi")
        ('wave/b 2.avi', '')
    """
    match = re.fullmatch(r"(.*\S)\s+(\d+)", line)
    return (clean_path(match[1]), match[2]) if match else (clean_path(line), "")
