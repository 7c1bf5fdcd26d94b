"""Filling the frame store: in parallel, resumable, one process at a time."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from fstcn_keras.video import VideoError, VideoReader
from training.cli import UserError
from training.data.duplicates import frame_hash, video_hash
from training.data.store import FrameStore, StoredVideo, StoreError, read_facts, record_file
from training.files import locked, write_aside
from training.parallel import map_processes

JPEG_QUALITY = 92
FORMAT = 2  # of the store; another format is another folder of the cache


def prepare_store(folder: Path, root: Path, paths: Iterable[str], *, short_side: int) -> FrameStore:
    """Decodes what the store does not hold yet, on all cores, and opens it.

    Each video's file is written aside and renamed, so it is whole or not there: stopped at any
    moment, the next call goes on with the videos that lack. A video whose source has another
    size, or another time of change and other bytes, is decoded again. A second process on the
    same store waits for the first.

    Args:
        folder: the store; made if it is not there.
        root: folder that the paths start from.
        paths: the videos.
        short_side: short side of the stored frames, pixels.

    Raises:
        UserError: if the folder cannot be written, or holds a store of other videos or with
            other settings.
    """
    paths = sorted(set(paths))
    settings = {
        "format": FORMAT,
        "videos": str(root.resolve()),
        "short_side": short_side,
        "quality": JPEG_QUALITY,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _check_settings(folder, settings)
            videos = _prepare_missing(folder, root, paths, short_side)
            write_rejected(folder / "rejected.csv", videos.values())
    except (OSError, StoreError) as error:
        raise UserError(f"the frame store {folder} cannot be written: {error}") from error
    return FrameStore(folder, videos)


def _prepare_missing(
    folder: Path, root: Path, paths: list[str], short_side: int
) -> dict[str, StoredVideo]:
    found = {path: read_facts(folder, path) for path in paths}
    videos = {
        path: stored
        for path, stored in found.items()
        if stored is not None and _is_current(stored, root / path)
    }
    waiting = [(folder, root, path, short_side) for path in paths if path not in videos]
    if waiting:
        for leftover in folder.glob("videos/*/*.partial"):
            leftover.unlink()
        print(f"decoding {len(waiting)} of {len(paths)} videos into {folder}", flush=True)
        for stored in map_processes(_prepare_video, waiting, description="decoding videos"):
            videos[stored.path] = stored
    return {path: videos[path] for path in paths}


def _check_settings(folder: Path, settings: dict):
    file = folder / "settings.json"
    if not file.exists():
        write_aside(file, json.dumps(settings))
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = "something unreadable"
    if found != settings:
        raise UserError(
            f"the frame store {folder} was made from other videos or with other settings: "
            f"{found}; wanted {settings}. Name another folder"
        )


def _is_current(stored: StoredVideo, source: Path) -> bool:
    """Whether the source is the one that was decoded; read only if its time has changed."""
    try:
        status = source.stat()
        if stored.source_bytes != status.st_size:
            return False
        return stored.source_mtime_ns == status.st_mtime_ns or (
            stored.source_sha256 != "" and stored.source_sha256 == _sha256(source)
        )
    except OSError:
        return False


def _prepare_video(job: tuple[Path, Path, str, int]) -> StoredVideo:
    folder, root, path, short_side = job
    target = record_file(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".partial")
    stored = StoredVideo(path, 0, 0)
    try:
        stored = _source_facts(path, root / path)
        stored = _write_records(aside, root / path, stored, short_side)
    except VideoError as error:
        stored = dataclasses.replace(stored, reason=str(error))
        with _record_writer(aside) as writer:
            writer.write(stored.to_json())
    aside.replace(target)
    return stored


def _source_facts(path: str, source: Path) -> StoredVideo:
    try:
        status = source.stat()
        return StoredVideo(path, status.st_size, status.st_mtime_ns, _sha256(source))
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}") from error


def _write_records(aside: Path, source: Path, stored: StoredVideo, short_side: int) -> StoredVideo:
    reader = VideoReader(source, short_side=short_side)
    height = width = 0
    hashes = []
    with _record_writer(aside) as writer:
        for frame in reader:
            image = Image.fromarray(frame)
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=JPEG_QUALITY)
            writer.write(buffer.getvalue())
            hashes.append(frame_hash(image))
            height, width = frame.shape[:2]
        stored = dataclasses.replace(
            stored,
            num_frames=reader.decoded_frames,
            expected_frames=reader.expected_frames,
            height=height,
            width=width,
            fps=reader.fps,
            perceptual_hash=video_hash(hashes),
            reason=_incomplete(reader),
        )
        writer.write(stored.to_json())
    return stored


@contextlib.contextmanager
def _record_writer(file: Path):
    """Writes records; a full disk shows on closing at the latest.

    Raises:
        StoreError: if the file cannot be written.
    """
    try:
        writer = ArrayRecordWriter(str(file), "group_size:1,uncompressed")
        try:
            yield writer
        finally:
            writer.close()
    except RuntimeError as error:
        file.unlink(missing_ok=True)
        raise StoreError(str(error).split(";")[0]) from error


def _incomplete(reader: VideoReader) -> str:
    # XviD's packed frames end with an empty one, which the container counts
    if reader.damaged_packets or reader.decoded_frames < reader.expected_frames - 1:
        return (
            f"incomplete: {reader.decoded_frames} of {reader.expected_frames} frames decoded, "
            f"{reader.damaged_packets} damaged packets"
        )
    return ""


def write_rejected(file: Path, videos: Iterable[StoredVideo]):
    """Lists the videos that could not be decoded, or not wholly, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "reason", "frames_decoded", "frames_expected"])
    for stored in videos:
        if stored.reason:
            writer.writerow([stored.path, stored.reason, stored.num_frames, stored.expected_frames])
    write_aside(file, text.getvalue())


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
