"""The frame store: every video decoded once, its frames kept as JPEG or raw.

```
STORE/
  settings.json      what the store was made with; another short side is another store
  hashes.json        paths of the videos by the hashes of their files
  rejected.csv       videos that could not be decoded, or not wholly, with the reason
  videos/ab/<sha256 of the path>.array_record    one JPEG a frame, then one record of facts (JSON)
  videos/ab/<sha256 of the path>.raw             raw frames; the .array_record then has facts alone
```

A video that cannot be decoded has facts as well. ArrayRecord keeps a checksum of every record and
checks it on reading; a raw frame is its bytes `(height, width, 3)` and their XXH3 behind them.
`preparation.prepare_store` writes a store.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from training.data.lookalikes import copies
from training.errors import UserError

SETTINGS = "settings.json"
ENCODINGS = ("jpeg", "raw")
JPEG_QUALITY = 92
CHECKSUM_BYTES = 8
MAX_DAMAGED = 0.1  # share of a video's frames; beyond it no network is trained on it
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # random access


class StoreError(UserError):
    """A store whose files are damaged or cannot be written; the message names the file."""


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """Facts of one video in the store.

    Attributes:
        path: relative to the data set's root.
        source_bytes: size of the source file when it was decoded.
        source_mtime_ns: its time of change, nanoseconds.
        source_sha256: its hash, hexadecimal; empty if it could not be read.
        num_frames: frames stored; 0 if the video was rejected.
        expected_frames: frames the container claims, or 0.
        damaged_frames: frames stored that the decoder marks as damaged.
        height: of the stored frames, pixels.
        width: of the stored frames, pixels.
        fps: frames per second that the container claims, or 0.
        signature: see `lookalikes.signature`; empty if the video was rejected.
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
    signature: str = ""
    reason: str = ""
    damaged_frames: int = 0

    @property
    def is_trainable(self) -> bool:
        """Returns whether it has frames, and no more than `MAX_DAMAGED` of them are damaged."""
        return self.num_frames > 0 and self.damaged_frames / self.num_frames <= MAX_DAMAGED

    def to_json(self) -> bytes:
        """Returns the last record of the video's file."""
        return json.dumps(dataclasses.asdict(self)).encode()


class FrameStore:
    """Reads the frames of prepared videos.

    Args:
        folder: the store.
        videos: facts of its videos by path, as `prepare_store` returns them.
        encoding: how the frames are kept, `"jpeg"` or `"raw"`.
    """

    def __init__(self, folder: Path, videos: dict[str, StoredVideo], *, encoding: str):
        self.folder = folder
        self.videos = videos
        self.encoding = encoding

    @functools.cached_property
    def settings(self) -> dict:
        """What the frames of a file depend on besides the file, as `prepare_store` wrote it."""
        return json.loads((self.folder / SETTINGS).read_text())

    def read_frames(self, path: str, indices: Iterable[int]) -> np.ndarray:
        """Reads the frames with these numbers, uint8 `(frames, height, width, 3)`.

        Raises:
            StoreError: if the video's file is damaged or gone.
        """
        if self.encoding == "raw":
            return np.stack(list(self.raw_frames(path, indices)))
        jpegs = self.read_jpegs(path, indices)
        return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])

    def reader(self, path: str) -> "StoredFrames":
        """Gives out the frames of a video as `VideoReader` gives those of a file."""
        return StoredFrames(self, path)

    def read_jpegs(self, path: str, indices: Iterable[int]) -> list[bytes]:
        """Reads the encoded frames with these numbers, of a store of JPEGs.

        Raises:
            StoreError: if the video's file is damaged or gone.
        """
        return read_records(record_file(self.folder, path), list(indices), path)

    def raw_frames(self, path: str, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Reads the frames with these numbers one by one, of a raw store.

        Raises:
            StoreError: if the video's file is damaged or gone.
        """
        stored = self.videos[path]
        shape = (stored.height, stored.width, 3)
        size = math.prod(shape)
        file = record_file(self.folder, path)
        try:
            with file.with_suffix(".raw").open("rb", buffering=0) as stream:
                for index in indices:
                    record = os.pread(
                        stream.fileno(), size + CHECKSUM_BYTES, index * (size + CHECKSUM_BYTES)
                    )
                    pixels = memoryview(record)[:size]
                    if checksum(pixels) != record[size:]:
                        raise _damaged(path, file, f"frame {index}: wrong checksum")
                    yield np.frombuffer(pixels, np.uint8).reshape(shape)
        except OSError as error:
            raise _damaged(path, file, error.strerror) from error

    @functools.cached_property
    def look_alikes(self) -> dict[str, str]:
        """The name of each video's cluster of copies, by path.

        A video that could not be decoded is alone.
        """
        signatures = {v.path: v.signature for v in self.videos.values() if v.num_frames}
        return {path: path for path in self.videos} | copies(signatures)


class StoredFrames:
    """Frames of a stored video, given out as `VideoReader` gives those of a file.

    Args:
        store: holds the video.
        path: relative to the data set's root.

    Attributes:
        fps: frames per second that the container claims, or 0.
        incomplete: what could not be decoded, in one line; empty if all could.
        notes: empty: the store does not keep them.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, store: FrameStore, path: str):
        self._store = store
        self._path = path
        self.fps = store.videos[path].fps
        self.incomplete = store.videos[path].reason

    def count(self) -> int:
        """Returns the number of frames."""
        return self._store.videos[self._path].num_frames

    def times(self) -> np.ndarray:
        """Returns nothing: the store does not keep them."""
        return np.empty(0)

    def select(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, `(height, width, 3)` uint8.

        Raises:
            StoreError: if the video's file is damaged or gone.
        """
        return iter(self._store.read_frames(self._path, numbers))


def read_facts(folder: Path, path: str) -> StoredVideo | None:
    """Reads the facts of a video; returns `None` if the store does not hold it readably."""
    file = record_file(folder, path)
    if not file.exists():
        return None
    try:
        facts = json.loads(read_records(file, [-1], path)[0])
        return StoredVideo(**facts | {"path": path})  # a linked file bears another one
    except (StoreError, ValueError, TypeError):  # decoded anew, which mends it
        return None


def read_records(file: Path, indices: list[int], path: str) -> list[bytes]:
    """Reads records of a video's file, -1 being the last.

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
        reason = (str(error) or type(error).__name__).splitlines()[0].split(";")[0]
        raise _damaged(path, file, reason) from error


def encode_jpeg(image: Image.Image) -> bytes:
    """Encodes a frame as the store keeps it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def checksum(pixels: bytes | memoryview) -> bytes:
    """Returns XXH3 of a raw frame, eight bytes; CRC-32 would be half the time of reading a clip."""
    return xxhash.xxh3_64_digest(pixels)


def record_file(folder: Path, path: str) -> Path:
    """Returns where a video's records lie; its name depends on nothing but the video's path."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return folder / "videos" / digest[:2] / f"{digest}.array_record"


def raw_file(folder: Path, path: str) -> Path:
    """Returns where a video's raw frames lie, in a raw store."""
    return record_file(folder, path).with_suffix(".raw")


def _damaged(path: str, file: Path, reason: str) -> StoreError:
    return StoreError(
        f"the stored frames of {path} are damaged ({reason}): remove {file} and run again"
    )
