"""The frame store: every video decoded once, one JPEG per frame in an ArrayRecord file.

```
STORE/
  settings.json      what the store was made with; another short side is another store
  rejected.csv       videos that could not be decoded, or not wholly, with the reason
  videos/ab/<sha256 of the path>.array_record    the frames, then one record of facts (JSON)
```

A video that cannot be decoded has a file as well, which holds the facts alone. ArrayRecord keeps
a checksum of every record and checks it on reading. `preparation.prepare_store` writes a store.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from training.cli import UserError

_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # random access


class StoreError(UserError):
    """A store whose files are damaged or cannot be written; the message names the file."""


@dataclass(frozen=True)
class StoredVideo:
    """Facts of one video in the store.

    Attributes:
        path: relative to the data set's root.
        source_bytes: size of the source file when it was decoded.
        source_mtime_ns: its time of change, nanoseconds.
        source_sha256: its hash, hexadecimal; empty if it could not be read.
        num_frames: frames stored; 0 if the video was rejected.
        expected_frames: frames the container claims, or 0.
        height: of the stored frames, pixels.
        width: of the stored frames, pixels.
        fps: frames per second that the container claims, or 0.
        perceptual_hash: see `duplicates.video_hash`; empty if the video was rejected.
        reason: why the video was rejected or is incomplete; empty if all is well.
    """

    path: str
    source_bytes: int
    source_mtime_ns: int
    source_sha256: str = ""
    num_frames: int = 0
    expected_frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    perceptual_hash: str = ""
    reason: str = ""

    def to_json(self) -> bytes:
        """The last record of the video's file."""
        return json.dumps(dataclasses.asdict(self)).encode()


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
            StoreError: if the video's file is damaged or gone.
        """
        return read_records(record_file(self.folder, path), list(indices), path)

    def read_frames(self, path: str, indices: Iterable[int]) -> np.ndarray:
        """The frames with these numbers, uint8 `(frames, height, width, 3)`.

        Raises:
            StoreError: if the video's file is damaged or gone.
        """
        jpegs = self.read_jpegs(path, indices)
        return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])


def read_facts(folder: Path, path: str) -> StoredVideo | None:
    """The facts of a video, or `None` if the store does not hold it, or not readably."""
    file = record_file(folder, path)
    if not file.exists():
        return None
    try:
        return StoredVideo(**json.loads(read_records(file, [-1], path)[0]))
    except (StoreError, ValueError, TypeError):  # decoded anew, which mends it
        return None


def read_records(file: Path, indices: list[int], path: str) -> list[bytes]:
    """Records of a video's file, -1 being the last.

    Raises:
        StoreError: if the file is damaged or gone.
    """
    try:
        reader = ArrayRecordReader(str(file), _READER_OPTIONS, file_reader_buffer_size=2**16)
        count = reader.num_records()
        records = reader.read([index % count for index in indices])
        reader.close()
        return records
    except (ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise StoreError(
            f"the stored frames of {path} are damaged ({_first_line(error)}): "
            f"remove {file} and run again"
        ) from error


def record_file(folder: Path, path: str) -> Path:
    """Where a video's records lie; its name depends on nothing but the video's path."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return folder / "videos" / digest[:2] / f"{digest}.array_record"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(";")[0]
