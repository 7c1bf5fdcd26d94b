"""Finds the videos of a run, and cuts the views that int8 numbers are fitted to."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fstcn_keras import clips
from fstcn_keras.runs import RunFolder
from fstcn_keras.stored_arrays import read_arrays
from fstcn_keras.video import VideoError
from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.sources import open_frames
from fstcn_keras.video.suffixes import videos_below
from fstcn_keras.views.plan import ViewPlan

NUM_VIEWS = 100  # that ranges of numbers are taken from


@dataclass(frozen=True, kw_only=True)
class RunVideos:
    """Holds files of videos that a run was trained on, and of those that it was tested by.

    Example:
        >>> RunVideos.of(RunFolder(Path("no-such-run"))).test
        {}

    Attributes:
        training: files that are there.
        test: the label of each file that is there.
    """

    training: tuple[Path, ...]
    test: dict[Path, int]

    @classmethod
    def of(cls, run: RunFolder, *, folders: Sequence[Path] = ()) -> "RunVideos":
        """Returns the videos of a run as far as they are found.

        Args:
            run: the folder, which tells their paths and where they were.
            folders: other ones that the paths may start from; files among them do not matter.
        """
        try:
            record = json.loads(run.training_videos.read_text(encoding="utf-8"))
            root, trained = record.get("root"), list(record["train"])
        except (OSError, AttributeError, LookupError, TypeError, ValueError):
            return cls(training=(), test={})
        test: dict[str, int] = {}
        with contextlib.suppress(OSError, LookupError, TypeError, ValueError):  # not evaluated yet
            scored = read_arrays(run.scores)
            test = dict(zip(scored["paths"].tolist(), scored["labels"].tolist(), strict=True))
        roots = [Path(root), *folders] if root else folders

        def found(paths: Iterable[str]) -> dict[str, Path]:
            files = ((path, root / path) for path in paths for root in reversed(roots))
            return {path: file.resolve() for path, file in files if file.is_file()}

        return cls(
            training=tuple(found(trained).values()),
            test={file: test[path] for path, file in found(test).items()},
        )


def calibration_files(run: RunFolder, videos: RunVideos, given: Sequence[Path] = ()) -> list[Path]:
    """Chooses at most `NUM_VIEWS` videos: of those given, else of those the run was trained on.

    Test videos of the run are left out.

    Example:
        >>> run = RunFolder(Path("no-such-run"))
        >>> calibration_files(run, RunVideos.of(run))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: the training videos of no-such-run are not found: name some...

    Args:
        run: the folder.
        videos: its videos.
        given: files, and folders of videos.

    Raises:
        FileNotFoundError: if there is none.
    """
    if given:
        files = [file for file in video_files(given) if file.resolve() not in videos.test]
        if not files:
            raise FileNotFoundError(f"--calibration names nothing but test videos of {run}")
    else:
        files = list(videos.training)
    if not files:
        raise FileNotFoundError(
            f"the training videos of {run} are not found: name some videos, or a folder of them, "
            "with --calibration"
        )
    return spread(files, NUM_VIEWS)


def video_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the given files, and the videos in the given folders and below them.

    Example:
        >>> video_files([Path("a.mp4")])
        Traceback (most recent call last):
        FileNotFoundError: there is no file or folder a.mp4

    Raises:
        FileNotFoundError: if one of them is not there, or a folder holds no video.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        found = videos_below(path) if path.is_dir() else [path]
        if not found:
            raise FileNotFoundError(f"{path} holds no video")
        files += found
    return files


def spread(files: Sequence[Path], most: int) -> list[Path]:
    """Picks at most so many of the files, evenly from the first to the last.

    Example:
        >>> [file.name for file in spread([Path(name) for name in "abcde"], 3)]
        ['a', 'c', 'e']
    """
    if len(files) <= most:
        return list(files)
    return [files[number] for number in np.linspace(0, len(files) - 1, most).round().astype(int)]


def calibration_views(
    files: Sequence[Path], plan: ViewPlan, *, number: int = NUM_VIEWS
) -> Iterator[dict[str, np.ndarray]]:
    """Cuts views of videos, the same number of each, every clip and crop in its turn.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig())
        >>> list(calibration_views([], plan))
        Traceback (most recent call last):
        ValueError: no video to calibrate by could be read

    Args:
        files: of the videos, no more than views; those that cannot be read are passed over.
        plan: the views.
        number: of views, at least.

    Yields:
        `{"clip", "clip_diff"}`, uint8 `(1, l_t, crop_size, crop_size, 3)` each.

    Raises:
        ValueError: if no file can be read.
    """
    each = -(-number // max(len(files), 1))
    cut = 0
    for file in files:
        try:
            video = view_frames(open_frames(file), plan)
        except (VideoError, OSError):
            continue
        for first, later in (video.positions[n % plan.num_clips] for n in range(each)):
            views = plan.cut(video.frames[first], video.frames[later])
            crop = cut % clips.NUM_CROPS
            yield {name: images[crop : crop + 1] for name, images in views.items()}
            cut += 1
    if not cut:
        raise ValueError("no video to calibrate by could be read")
