"""The frame store: every video decoded once, one JPEG per frame in an ArrayRecord file.

```
STORE/
  settings.json      what the store was made with; another short side is another store
  videos/ab/<sha256 of the path>.array_record    the frames, then one record of facts (JSON)
```

A video's file is written aside and renamed, so it is whole or not there. A video that cannot be
decoded has a file as well, which holds the reason alone.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image

from fstcn_keras.video import VideoError, VideoReader
from training.cli import UserError
from training.parallel import map_processes

JPEG_QUALITY = 92
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # random access


@dataclass(frozen=True)
class StoredVideo:
    """Facts of one video in the store.

    Attributes:
        path: relative to the data set's root.
        source_bytes: size of the source file when it was decoded.
        source_mtime_ns: its time of change, nanoseconds.
        num_frames: frames stored; 0 if the video was rejected.
        expected_frames: frames the container claims, or 0.
        height: of the stored frames, pixels.
        width: of the stored frames, pixels.
        fps: frames per second that the container claims, or 0.
        reason: why the video was rejected or is incomplete; empty if all is well.
    """

    path: str
    source_bytes: int
    source_mtime_ns: int
    num_frames: int = 0
    expected_frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    reason: str = ""


class FrameStore:
    """Reads the frames of prepared videos.

    Args:
        folder: the store.
        videos: facts of its videos by path, as `prepare_store` returns them.
    """

    def __init__(self, folder: Path, videos: dict[str, StoredVideo]):
        self.folder = folder
        self.videos = videos

    def read_jpegs(self, path: str, indices: Iterable[int]) -> list[bytes]:
        """The encoded frames with these numbers.

        Raises:
            OSError: if the video's file is damaged or gone.
        """
        return _read_records(_record_path(self.folder, path), list(indices), path)

    def read_frames(self, path: str, indices: Iterable[int]) -> np.ndarray:
        """The frames with these numbers, uint8 `(frames, height, width, 3)`."""
        jpegs = self.read_jpegs(path, indices)
        return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])


def prepare_store(folder: Path, root: Path, paths: Iterable[str], *, short_side: int) -> FrameStore:
    """Decodes what the store does not hold yet, on all cores, and opens it.

    Args:
        folder: the store; made if it is not there.
        root: folder that the paths start from.
        paths: the videos.
        short_side: short side of the stored frames, pixels.

    Raises:
        UserError: if the folder cannot be written, or holds a store with other settings.
    """
    paths = sorted(set(paths))
    _check_settings(folder, {"format": 1, "short_side": short_side, "quality": JPEG_QUALITY})
    videos = {}
    for path in paths:
        stored = _read_facts(folder, path)
        if stored is not None and _is_current(stored, root / path):
            videos[path] = stored
    waiting = [(folder, root, path, short_side) for path in paths if path not in videos]
    for stored in map_processes(_prepare_video, waiting, description="decoding videos"):
        videos[stored.path] = stored
    return FrameStore(folder, videos)


def _check_settings(folder: Path, settings: dict):
    file = folder / "settings.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(json.dumps(settings))
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"the frame store {folder} cannot be used: {error}") from error
    if found != settings:
        raise UserError(
            f"{folder} was made with other settings: {found}; wanted {settings}. "
            "Name another folder with --store"
        )


def _prepare_video(job) -> StoredVideo:
    folder, root, path, short_side = job
    source = root / path
    target = _record_path(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(f".partial{os.getpid()}")
    status = source.stat()
    stored = StoredVideo(path, status.st_size, status.st_mtime_ns)
    try:
        stored = _write_records(aside, source, stored, short_side)
    except VideoError as error:
        stored = dataclasses.replace(stored, reason=str(error))
        _write_facts_alone(aside, stored)
    aside.replace(target)
    return stored


def _write_records(aside: Path, source: Path, stored: StoredVideo, short_side: int) -> StoredVideo:
    reader = VideoReader(source, short_side=short_side)
    writer = ArrayRecordWriter(str(aside), "group_size:1,uncompressed")
    try:
        height = width = 0
        for frame in reader:
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
            writer.write(buffer.getvalue())
            height, width = frame.shape[:2]
        stored = dataclasses.replace(
            stored,
            num_frames=reader.decoded_frames,
            expected_frames=reader.expected_frames,
            height=height,
            width=width,
            fps=reader.fps,
            reason=_incomplete(reader),
        )
        writer.write(json.dumps(dataclasses.asdict(stored)).encode())
    finally:
        writer.close()
    return stored


def _incomplete(reader: VideoReader) -> str:
    # XviD's packed frames end with an empty one, which the container counts
    if reader.damaged_packets or reader.decoded_frames < reader.expected_frames - 1:
        return (
            f"incomplete: {reader.decoded_frames} of {reader.expected_frames} frames decoded, "
            f"{reader.damaged_packets} damaged packets"
        )
    return ""


def _write_facts_alone(aside: Path, stored: StoredVideo):
    writer = ArrayRecordWriter(str(aside), "group_size:1,uncompressed")
    writer.write(json.dumps(dataclasses.asdict(stored)).encode())
    writer.close()


def _read_facts(folder: Path, path: str) -> StoredVideo | None:
    file = _record_path(folder, path)
    if not file.exists():
        return None
    return StoredVideo(**json.loads(_read_records(file, [-1], path)[0]))


def _is_current(stored: StoredVideo, source: Path) -> bool:
    status = source.stat()
    return (stored.source_bytes, stored.source_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _read_records(file: Path, indices: list[int], path: str) -> list[bytes]:
    try:
        reader = ArrayRecordReader(str(file), _READER_OPTIONS, file_reader_buffer_size=2**16)
        count = reader.num_records()
        records = reader.read([index % count for index in indices])
        reader.close()
        return records
    except (ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise OSError(f"the stored frames of {path} ({file}) are damaged: {error}") from error


def _record_path(folder: Path, path: str) -> Path:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return folder / "videos" / digest[:2] / f"{digest}.array_record"
