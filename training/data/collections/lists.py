"""Split lists held against the files that are there."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.data.collections.dataset import Dataset, Video
from training.data.groups import source_group
from training.errors import UserError

VIDEO_SUFFIXES = {".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg"}


def listed_dataset(
    name: str,
    split: int | None,
    data_dir: Path,
    subfolders: Sequence[str],
    classes: Sequence[str],
    listed: Sequence[tuple[str, str, str]],
) -> Dataset:
    """Holds the lists against the files; classes without any file are left out.

    Args:
        name: of the collection.
        split: number of the split; `None` of a fold.
        data_dir: folder of the collection.
        subfolders: of it, the first of which that is there is the root of the videos.
        classes: names in the order of the labels.
        listed: path, class name and side of each video.

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
    files = video_files(root)
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
            video = Video(path, classes.index(class_name), side, source_group(path))
            (videos if path in files else missing).append(video)
    unlisted = len(files - {path for path, _, _ in listed})
    return Dataset(name, split, root, classes, absent, tuple(videos), tuple(missing), unlisted)


def video_files(root: Path) -> set[str]:
    """Returns the paths of the videos in the root's sub-folders, hidden ones left out."""
    return {
        path.relative_to(root).as_posix()
        for path in root.glob("*/*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not path.parent.name.startswith(".")
        and not path.name.startswith(".")
    }


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
    """Returns the lines of a split file, without blanks around them and empty ones.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"split file {path} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
