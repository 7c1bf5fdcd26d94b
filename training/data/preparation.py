"""Filling the frame store: in parallel, resumable, one process at a time."""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import platform
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from fstcn_keras.error_texts import reason_of
from fstcn_keras.files import atomic_write_text
from fstcn_keras.video import VideoError, VideoReader
from fstcn_keras.video.resampling import ResampledFrames
from training.data.lookalikes import Looks
from training.data.reuse import stored_elsewhere, take, write_hashes
from training.data.store import (
    JPEG_QUALITY,
    SETTINGS,
    FrameStore,
    StoredVideo,
    StoreError,
    checksum,
    encode_jpeg,
    raw_file,
    read_facts,
    record_file,
)
from training.errors import UserError
from training.locks import locked
from training.parallel import TOO_MUCH_MEMORY, map_processes

FORMAT = 6  # of the store; another format is another folder of the cache


@dataclass(frozen=True)
class _Job:
    folder: Path
    root: Path
    short_side: int
    encoding: str
    fps: float | None
    path: str

    @property
    def source(self) -> Path:
        return self.root / self.path

    @property
    def record(self) -> Path:
        return record_file(self.folder, self.path)


def prepare_store(
    folder: Path,
    root: Path,
    paths: Iterable[str],
    *,
    short_side: int,
    encoding: str = "jpeg",
    fps: float | None = None,
) -> FrameStore:
    """Decodes what the store does not hold yet, on all cores, and opens it.

    Each video's file is written atomically, so it is whole or not there: stopped at any time,
    the next call goes on with the videos that lack. A video whose source has another
    size, or another time of change and other bytes, is decoded again. Frames of a file with the
    same bytes that this store, or one beside it with the same settings, holds under another path
    are taken over. A second process on the same store waits for the first.

    Args:
        folder: the store; made if it is not there.
        root: folder that the paths start from.
        paths: the videos.
        short_side: short side of the stored frames, pixels.
        encoding: how frames are kept, one of `store.ENCODINGS`.
        fps: frames per second at which videos are read by time; `None` takes all frames.

    Raises:
        UserError: if the folder cannot be written, or holds a store with other settings.
    """
    paths = sorted(set(paths))
    settings = {
        "format": FORMAT,
        "short_side": short_side,
        "frames": f"jpeg, quality {JPEG_QUALITY}" if encoding == "jpeg" else encoding,
    }
    if fps is not None:
        settings["fps"] = fps
    make_job = functools.partial(_Job, folder, root, short_side, encoding, fps)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, "prepares"):
            _check_settings(folder, settings)
            videos = _prepare_missing([make_job(path) for path in paths])
            write_rejected(folder / "rejected.csv", videos.values())
            write_hashes(folder, videos.values())
    except (OSError, StoreError) as error:
        raise UserError(
            f"the frame store {folder} cannot be written: {reason_of(error)}"
        ) from error
    return FrameStore(folder, videos, encoding=encoding)


def _prepare_missing(jobs: list[_Job]) -> dict[str, StoredVideo]:
    videos = {}
    for job in jobs:
        stored = read_facts(job.folder, job.path)
        if stored is not None and _is_current(stored, job.source, job.record):
            videos[job.path] = stored
    waiting = [job for job in jobs if job.path not in videos]
    if waiting:
        taken = _take_stored(waiting)
        videos |= taken
        waiting = [job for job in waiting if job.path not in taken]
    if waiting:
        folder = waiting[0].folder
        print(f"decoding {len(waiting)} of {len(jobs)} videos into {folder}", flush=True)
        _remove_leftovers(folder)  # of a process that was killed
        try:
            for stored in map_processes(
                _prepare_video,
                waiting,
                killed=_reject_killed,
                description="decoding videos",
                shared=(folder / SETTINGS, waiting[0].root),
            ):
                videos[stored.path] = stored
        finally:
            _remove_leftovers(folder)
    return {job.path: videos[job.path] for job in jobs}


def _take_stored(jobs: list[_Job]) -> dict[str, StoredVideo]:
    """Takes what the store or one beside it holds of files with the same bytes."""
    folder = jobs[0].folder
    elsewhere, taken = stored_elsewhere(folder), {}
    for job in jobs if elsewhere else ():
        with contextlib.suppress(VideoError):
            digest = _source_facts(job.path, job.source).source_sha256
            where = elsewhere.get(digest)
            found = where and take(where, digest, folder=folder, path=job.path, source=job.source)
            if found:
                taken[job.path] = found
    if taken:
        print(f"taking the frames of {len(taken)} videos that were decoded before", flush=True)
    return taken


def _check_settings(folder: Path, settings: dict):
    file = folder / SETTINGS
    if not file.exists():
        atomic_write_text(file, json.dumps(settings))
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = "something unreadable"
    if found != settings:
        raise UserError(
            f"the frame store {folder} was made with other settings: "
            f"{found}; wanted {settings}. Name another folder"
        )


def _is_current(stored: StoredVideo, source: Path, record: Path) -> bool:
    """Returns whether the source is what was decoded; reads it only if its time has changed.

    One that was only touched or copied is read once: its new time becomes that of the record.
    """
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode) or stored.source_bytes != status.st_size:
            return False
        if status.st_mtime_ns in (stored.source_mtime_ns, record.stat().st_mtime_ns):
            return True
        if stored.source_sha256 != sha256(source):
            return False
        os.utime(record, ns=(status.st_mtime_ns, status.st_mtime_ns))
        return True
    except OSError:
        return False


def _prepare_video(job: _Job, *, killed: bool = False) -> StoredVideo:
    """Stores a video, or that the process that tried to was killed."""
    target = job.record
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    stored = StoredVideo(job.path, 0, 0)
    try:
        stored = _source_facts(job.path, job.source)
        if killed:
            raise VideoError(
                "the decoder's process was killed, by a crash or for want of memory; remove "
                f"{target} to have it tried again"
            )
        stored = _write_records(partial, job, stored)
    except (VideoError, MemoryError) as error:
        reason = TOO_MUCH_MEMORY if isinstance(error, MemoryError) else str(error)
        stored = dataclasses.replace(stored, reason=reason)
        with _record_writer(partial) as writer:
            writer.write(stored.to_json())
    partial.replace(target)
    return stored


_reject_killed = functools.partial(_prepare_video, killed=True)


def _source_facts(path: str, source: Path) -> StoredVideo:
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
            raise VideoError("cannot be read: it is not a regular file")
        return StoredVideo(path, status.st_size, status.st_mtime_ns, sha256(source))
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}") from error


def _write_records(partial: Path, job: _Job, stored: StoredVideo) -> StoredVideo:
    reader = VideoReader(job.source, short_side=job.short_side)
    frames, found, looks = iter(reader), {}, None
    if job.fps is not None:
        resampled = ResampledFrames(reader, job.fps)
        frames = resampled.select(range(resampled.count()))
        found = _found(reader)  # now, as the second reading may stop before the end
        share = reader.damaged_frames / reader.decoded_frames
        found |= {"fps": job.fps, "damaged_frames": round(share * resampled.count())}
        looks = Looks(resampled.count())
    count = height = width = 0
    with _record_writer(partial) as writer:
        with _frame_writer(job, writer) as write_frame:
            for index, frame in enumerate(frames):
                image = Image.fromarray(frame)
                write_frame(image)
                looks = looks or Looks(reader.expected_frames)  # known now
                looks.look(index, image)
                height, width = frame.shape[:2]
                count = index + 1
        found = found or _found(reader)
        stored = dataclasses.replace(
            stored,
            num_frames=count,
            height=height,
            width=width,
            signature=looks.signature(count, reader.select),
            **found,
        )
        writer.write(stored.to_json())
    return stored


def _found(reader: VideoReader) -> dict:
    """Returns what a reading to the end told, as `StoredVideo` names it."""
    return {
        "expected_frames": reader.expected_frames,
        "damaged_frames": reader.damaged_frames,
        "fps": reader.fps,
        "reason": reader.incomplete,
    }


@contextlib.contextmanager
def _frame_writer(job: _Job, records: ArrayRecordWriter):
    """Yields a function that stores one frame; raw ones are there before their facts."""
    if job.encoding == "jpeg":

        def write_jpeg(image: Image.Image):
            records.write(encode_jpeg(image))

        yield write_jpeg
        return

    file = raw_file(job.folder, job.path)
    partial = _partial(file)
    try:
        with partial.open("wb") as stream:

            def write_raw(image: Image.Image):
                pixels = image.tobytes()
                stream.write(pixels + checksum(pixels))

            yield write_raw
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


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


def _partial(file: Path) -> Path:
    # of this process alone: another may outlive a parent that was killed, also on another machine
    return file.with_name(f"{file.name}.{platform.node()}-{os.getpid()}.partial")


def _remove_leftovers(folder: Path):
    for leftover in folder.glob("**/*.partial"):
        leftover.unlink(missing_ok=True)


def write_rejected(file: Path, videos: Iterable[StoredVideo]):
    """Lists the videos that could not be decoded, or not wholly, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    facts = ("path", "reason", "num_frames", "expected_frames", "damaged_frames")
    writer.writerow(["path", "reason", "frames_decoded", "frames_expected", "frames_damaged"])
    for stored in videos:
        if stored.reason:
            writer.writerow([getattr(stored, name) for name in facts])
    atomic_write_text(file, text.getvalue())


def sha256(file: Path) -> str:
    """Returns the hash of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
