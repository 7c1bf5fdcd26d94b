"""Tells files of videos from others by their names."""

from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "3g2",
        "3gp",
        "amv",
        "asf",
        "avi",
        "divx",
        "dv",
        "f4v",
        "flv",
        "h264",
        "h265",
        "hevc",
        "ivf",
        "m1v",
        "m2ts",
        "m2v",
        "m4v",
        "mjpeg",
        "mjpg",
        "mkv",
        "mov",
        "mp4",
        "mpe",
        "mpeg",
        "mpg",
        "mts",
        "mxf",
        "nut",
        "ogm",
        "ogv",
        "qt",
        "rm",
        "rmvb",
        "ts",
        "vob",
        "webm",
        "wmv",
        "y4m",
    )
)


def is_video(path: str | Path) -> bool:
    """Returns whether the path's suffix is one of videos.

    Example:
        >>> is_video("jump/a.MP4"), is_video("notes.txt")
        (True, False)
    """
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def videos_below(folder: Path) -> list[Path]:
    """Returns the videos in the folder and in those below it, sorted; folders are none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     (Path(name) / "jump").mkdir()
        ...     (Path(name) / "jump" / "a.mp4").touch()
        ...     [file.name for file in videos_below(Path(name))]
        ['a.mp4']
    """
    return sorted(path for path in folder.rglob("*") if is_video(path) and path.is_file())
