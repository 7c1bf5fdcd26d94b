"""Decodes requests to the resized frames that the views need, in processes of their own.

It imports neither Keras nor KServe, so that a process starts at once and stays small.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

import fstcn_keras.views.sparse_resizing  # noqa: F401  # else imported in the memory of a request
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import BadRequest, TooLarge
from fstcn_keras.serving.requests import (
    AnswerForm,
    EncodedFrames,
    EncodedVideo,
    Request,
    Video,
    read_request,
)
from fstcn_keras.video import VideoError, VideoReader, VideoTooLarge
from fstcn_keras.video.decoded import DecodedFrames
from fstcn_keras.video.sources import ArrayFrames, FrameReader
from fstcn_keras.views.plan import ViewPlan

_SIXTEEN_BITS = ("I;16", "I")  # Pillow's modes of grey PNGs of such depth


@dataclass(frozen=True)
class DecodedRequest:
    """Holds the videos of a request, and what its answer is to hold.

    Example:
        >>> DecodedRequest(videos=(), form=AnswerForm("42")).form.id
        '42'
    """

    videos: tuple[DecodedFrames, ...]
    form: AnswerForm


def decode_request(request: Request, plan: ViewPlan, limits: Limits) -> DecodedRequest:
    """Reads a request and decodes the frames of its videos that their views need.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> from fstcn_keras.serving.requests import Tensor
        >>> plan = ViewPlan.from_config(FSTCNConfig(crop_size=16, short_side=24))
        >>> request = Tensor("frames", "UINT8", [1, 48, 64, 3], bytes(48 * 64 * 3))
        >>> (video,) = decode_request(request, plan, Limits()).videos
        >>> video.num_frames, video.images[0].shape
        (1, (24, 32, 3))

    Raises:
        BadRequest: if it cannot be read, or holds no video.
        TooLarge: beyond the limits.
    """
    videos, form = read_request(request, limits)
    decoded: list[DecodedFrames] = []
    left = limits.decoded_bytes  # which the process that scores must hold
    for number, video in enumerate(videos):
        with bad_videos_refused(instance=number if len(videos) > 1 else None):
            decoded.append(DecodedFrames.for_views(_reader(video, limits), plan))
        left -= sum(image.nbytes for image in decoded[-1].images)
        if left < 0:
            raise too_much_decoded(limits)
    return DecodedRequest(tuple(decoded), form)


def too_much_decoded(limits: Limits) -> TooLarge:
    """Returns what is said of a request whose frames take more than `limits.decoded_bytes`.

    Example:
        >>> str(too_much_decoded(Limits()))[:39]
        'the frames that are scored, resized, ta'
    """
    return TooLarge(
        f"the frames that are scored, resized, take over {limits.decoded_bytes} bytes: "
        "the videos are too many, or too wide for their height"
    )


@contextlib.contextmanager
def bad_videos_refused(instance: int | None = None) -> Iterator[None]:
    """Says that the request is at fault, where a video is.

    Example:
        >>> with bad_videos_refused():
        ...     raise VideoError("no frames")
        Traceback (most recent call last):
        fstcn_keras.serving.refusals.BadRequest: the video: no frames

    Args:
        instance: which video of several it is, from 0; `None` for the only one.

    Raises:
        BadRequest: for one that cannot be decoded.
        TooLarge: for one beyond the limits.
    """
    name = "the video" if instance is None else f"instance {instance}"
    try:
        yield
    except VideoTooLarge as error:
        raise TooLarge(f"{name}: {error}") from error
    except VideoError as error:
        raise BadRequest(f"{name}: {error}") from error
    except (BadRequest, TooLarge) as error:
        if instance is None:
            raise
        raise type(error)(f"{name}: {error}") from error


def _reader(video: Video, limits: Limits) -> FrameReader:
    if isinstance(video, EncodedVideo):
        file = io.BytesIO(video.data)
        return VideoReader(file, max_pixels=limits.pixels, max_frames=limits.frames)
    return ImageFrames(video, limits) if isinstance(video, EncodedFrames) else ArrayFrames(video)


class ImageFrames:
    """Gives out frames from JPEG or PNG files as `VideoReader` gives those of a file.

    JPEGs are turned upright as their EXIF data asks for. Grey becomes RGB, an alpha channel is
    dropped, and of 16 bits the upper eight are kept.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (64, 48)).save(file, "PNG")
        >>> frames = ImageFrames(EncodedFrames((file.getvalue(),)), Limits())
        >>> [frame.shape for frame in frames.select([0])]
        [(48, 64, 3)]

    Args:
        frames: the files; all of one size once upright.
        limits: `frames` and `pixels` are observed.

    Attributes:
        fps: 0: not known.
        incomplete: empty: all frames are there.
        notes: empty: nothing is assumed.

    Raises:
        BadRequest: if one is no JPEG or PNG, or of another size than the first.
        TooLarge: beyond the limits.
    """

    def __init__(self, frames: EncodedFrames, limits: Limits) -> None:
        if len(frames.images) > limits.frames:
            raise TooLarge(f"{len(frames.images)} frames; at most {limits.frames} are taken")
        self.fps, self.incomplete = 0.0, ""
        self.notes: tuple[str, ...] = ()
        self._files = frames.images
        size = None
        for number, file in enumerate(frames.images):
            width, height = found = _upright_size(_open(file, number))
            if width * height > limits.pixels:
                raise TooLarge(
                    f"frame {number}: {width}x{height} pixels; at most {limits.pixels} are taken"
                )
            size = size or found
            if found != size:
                raise BadRequest(
                    f"frame {number} is {width}x{height} pixels, frame 0 {size[0]}x{size[1]}: "
                    "all frames must be of one size"
                )

    def count(self) -> int:
        """Returns the number of frames."""
        return len(self._files)

    def times(self) -> np.ndarray:
        """Returns nothing: pictures do not tell."""
        return np.empty(0)

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, `(height, width, 3)` uint8.

        Raises:
            BadRequest: if a file is damaged.
        """
        return (_rgb(_open(self._files[number], number), number) for number in numbers)


def _open(file: bytes, number: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(file), formats=("JPEG", "PNG"))
    except Image.DecompressionBombError as error:
        raise TooLarge(f"frame {number}: too many pixels") from error
    except Exception as error:  # Pillow's readers raise whatever damaged bytes lead to
        raise BadRequest(f"frame {number}: is no JPEG or PNG") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image) > 4 else (width, height)


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG":  # its EXIF data may follow the pixels
        return 1
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF data: the picture may be fine
        return 1
    return orientation if orientation in range(1, 9) else 1


def _rgb(image: Image.Image, number: int) -> np.ndarray:
    try:
        if _orientation(image) > 1:
            image = ImageOps.exif_transpose(image)
        if image.mode in _SIXTEEN_BITS:
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.stack([grey] * 3, axis=-1)
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # as above
        raise BadRequest(f"frame {number}: is damaged") from error
