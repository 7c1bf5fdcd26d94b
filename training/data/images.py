"""Images: folders of them to train on, and frames of videos written as such folders."""

import csv
import functools
import io
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image, UnidentifiedImageError

from fstcn_keras.files import atomic_write_text
from training.data.collections import Video
from training.data.groups import source_group
from training.data.store import FrameStore, StoredVideo, StoreError, encode_jpeg
from training.errors import UserError
from training.parallel import map_processes

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 50_000_000  # that a file may claim: 150 MB as RGB
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # eight bits a channel at most
_FRAME = re.compile(r"-frame\d+\.jpg$")


class ImageFolder(FrameStore):
    """Images of any size, read from their files: a store of "videos" of one frame each.

    Args:
        folder: that the images' paths start from.
        images: facts of the images by path, as `index_images` returns them.
        short_side: see `read_image`; the one that the facts were found with.
    """

    def __init__(self, folder: Path, images: dict[str, StoredVideo], *, short_side: int):
        super().__init__(folder, images, encoding="raw")
        self._short_side = short_side

    def raw_frames(self, path: str, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yields the image, once for each index, uint8 `(height, width, 3)`.

        Raises:
            StoreError: if the file is not what it was when the facts were found.
        """
        stored, file = self.videos[path], self.folder / path
        try:
            image = read_image(file, short_side=self._short_side)
        except ImageError as error:
            raise StoreError(f"{file} can no longer be read ({error})") from error
        if image.shape != (stored.height, stored.width, 3):
            raise StoreError(f"{file} is not the image that it was when training began")
        for _ in indices:
            yield image


class ImageError(Exception):
    """A file that is no image, or one that cannot be decoded; the message says why."""


def read_image(file: Path, *, short_side: int) -> np.ndarray:
    """Decodes a JPEG or PNG, uint8 RGB `(height, width, 3)`.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its short side stays at least
    `short_side`: so much the faster. Grey, palette and CMYK become RGB, transparency is dropped,
    and an orientation in the EXIF data is not applied.

    Raises:
        ImageError: if that fails, or the file claims more than `MAX_PIXELS`.
    """
    if file.exists() and not file.is_file():
        raise ImageError("not a regular file")  # a pipe would be waited for without end
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
            if image.mode not in MODES:
                raise ImageError(f"more than eight bits a channel (mode {image.mode})")
            factor = min(width, height) // short_side
            if factor > 1:
                image.draft(None, (width // factor, height // factor))
            if image.mode == "P":  # its transparency may be of a form that RGB cannot come from
                image = image.convert("RGBA")
            return np.asarray(image.convert("RGB"))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("no JPEG or PNG") from None
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise ImageError(str(error) or type(error).__name__) from error


def index_images(folder: Path, index: Path, *, short_side: int) -> dict[str, StoredVideo]:
    """Examines every file in the folder's sub-folders; returns facts by path.

    Every image is decoded once, on all cores. The facts are kept, so that a training that goes
    on later has the same images in the same order.

    Args:
        folder: sub-folders named after the classes, each with images.
        index: CSV file of the facts; read if it is there, else written.
        short_side: see `read_image`.

    Raises:
        UserError: if the folder does not hold any file that is named like an image.
    """
    if not index.exists():
        paths = sorted(_image_paths(folder))
        if not paths:
            raise UserError(
                f"no images found in {folder}: expected folders named after the classes with "
                f"{'/'.join(SUFFIXES)} files"
            )
        print(f"decoding {len(paths)} images of {folder} once, to check them", flush=True)
        examine = functools.partial(_examine, folder, short_side)
        rows = map_processes(examine, paths, killed=_killed, description="checking", unit="image")
        text = io.StringIO()
        csv.writer(text).writerows(sorted(rows))
        atomic_write_text(index, text.getvalue())
    with index.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {
            path: StoredVideo(
                path,
                source_bytes=0,
                source_mtime_ns=0,
                num_frames=0 if reason else 1,
                height=int(height),
                width=int(width),
                reason=reason,
            )
            for path, height, width, reason in csv.reader(file)
        }


def _image_paths(folder: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir() and not entry.name.startswith("."):
            for file in os.scandir(entry.path):
                name = file.name
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    yield f"{entry.name}/{name}"


def _examine(folder: Path, short_side: int, path: str) -> tuple[str, int, int, str]:
    try:
        with warnings.catch_warnings(action="ignore"):  # the reason says what matters
            height, width, _ = read_image(folder / path, short_side=short_side).shape
        return path, height, width, ""
    except ImageError as error:
        return path, 0, 0, " ".join(str(error).split())


def _killed(path: str) -> tuple[str, int, int, str]:
    return path, 0, 0, "the decoder's process was killed, by a crash or for want of memory"


def image_source(path: str) -> str:
    """Returns what an image was taken from: its video's group, or what its own name tells.

    Images of one source stay on one side of a held-out share, see `groups.source_group`.
    """
    return source_group(source_video(path) or path)


def source_video(path: str) -> str | None:
    """Returns the path of the video that `write_frames` took an image from, or `None`.

    Example:
        >>> source_video("wave/anna%2Fwave%2F1.avi-frame000007.jpg")
        'anna/wave/1.avi'
    """
    video = _FRAME.sub("", path)
    if video == path:
        return None
    name = unquote(video.split("/", 1)[1])
    return name.removeprefix("./") if "/" in name else video  # of an older version: CLASS/NAME


def _escaped(text: str) -> str:
    """Returns text as the name of a file that is not hidden, which `unquote` undoes."""
    return re.sub(r"[%/]|^\.", lambda found: f"%{ord(found[0]):02X}", text)


def check_empty(folder: Path):
    """Makes sure that a folder holds nothing, or is not there yet.

    Raises:
        UserError: if it holds anything.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name another folder, or remove it")


def write_frames(
    store: FrameStore, videos: Iterable[Video], folder: Path, *, classes: Sequence[str], step: int
) -> int:
    """Writes frames of videos as JPEGs, `folder/CLASS/PATH-frame000012.jpg`.

    PATH is the video's, with `%2F` for each slash, as `source_video` reads it.

    Args:
        store: holds the frames.
        videos: whose frames to write; those that are not to train on are passed over.
        folder: empty, or not there yet; it gets all frames or none.
        classes: names by label.
        step: frames between two that are written. The first is number `step // 2`, or of a
            shorter video the middle one.

    Returns:
        How many frames were written.

    Raises:
        UserError: if the folder is not empty: frames of test videos might be among those.
        StoreError: if a video's file is damaged or gone.
    """
    check_empty(folder)
    partial = folder.with_name(f"partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    written = 0
    try:
        partial.mkdir(parents=True)
        for video in videos:
            if store.videos[video.path].is_trainable:
                target = partial / _escaped(classes[video.label])
                written += _write_video_frames(video.path, store, target, step)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _write_video_frames(path: str, store: FrameStore, folder: Path, step: int) -> int:
    count = store.videos[path].num_frames
    indices = range(min(step // 2, count // 2), count, step)
    name = _escaped(path if "/" in path else f"./{path}")  # with a slash, see `source_video`
    folder.mkdir(exist_ok=True)
    for index, jpeg in zip(indices, _jpegs(store, path, indices), strict=True):
        (folder / f"{name}-frame{index:06d}.jpg").write_bytes(jpeg)
    return len(indices)


def _jpegs(store: FrameStore, path: str, indices: Sequence[int]) -> Iterable[bytes]:
    if store.encoding == "jpeg":
        return store.read_jpegs(path, indices)
    return (encode_jpeg(Image.fromarray(frame)) for frame in store.raw_frames(path, indices))
