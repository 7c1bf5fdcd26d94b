"""What the decoding processes do: videos of requests to the frames that their views need.

It imports neither Keras nor KServe, so that a process starts at once and stays small.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fstcn_keras.serving.limits import BadRequest, Limits, TooLarge
from fstcn_keras.video import VideoError, VideoReader
from fstcn_keras.views import ViewPlan

CONTAINERS = ("asf", "avi", "flv", "matroska", "webm", "mov", "mp4", "mpeg", "mpegts", "ogg")


@dataclass(frozen=True)
class EncodedVideo:
    """The bytes of a video file, in one of `CONTAINERS`."""

    data: bytes


@dataclass(frozen=True)
class EncodedFrames:
    """The frames of a video one by one, as the bytes of JPEG or PNG files."""

    images: tuple[bytes, ...]


@dataclass(frozen=True)
class DecodedFrames:
    """Some frames of a video, read as `VideoReader` reads those of a file.

    Attributes:
        num_frames: frames of the whole video.
        numbers: which of them are here, increasing.
        images: uint8 `(height, width, 3)` each, all of one size.
        fps: 0: not known.
    """

    num_frames: int
    numbers: tuple[int, ...]
    images: tuple[np.ndarray, ...]
    fps: float = 0.0

    def count(self) -> int:
        """Number of frames of the video."""
        return self.num_frames

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers.

        Raises:
            KeyError: if one of them is not here.
        """
        here = dict(zip(self.numbers, self.images, strict=True))
        return (here[number] for number in numbers)


def decode(video: EncodedVideo | EncodedFrames, plan: ViewPlan, limits: Limits) -> DecodedFrames:
    """Decodes the frames of a video that its views need.

    Raises:
        BadRequest: if it is no video, or one beyond the limits.
    """
    if isinstance(video, EncodedFrames):
        return _decode_images(video.images, plan, limits)
    reader = VideoReader(
        io.BytesIO(video.data),
        max_pixels=limits.pixels,
        max_frames=limits.frames,
        containers=CONTAINERS,
    )
    try:
        num_frames = reader.count()
        numbers = plan.frame_numbers(num_frames)
        images = tuple(reader.select(numbers))
    except VideoError as error:
        raise BadRequest(f"the video {error}") from error
    return DecodedFrames(num_frames, numbers, images)


def _decode_images(encoded: Sequence[bytes], plan: ViewPlan, limits: Limits) -> DecodedFrames:
    if len(encoded) > limits.frames:
        raise TooLarge(f"{len(encoded)} frames; at most {limits.frames} are taken")
    images = [_open(data, f"frame {number}") for number, data in enumerate(encoded)]
    width, height = images[0].size
    if width * height > limits.pixels:
        raise TooLarge(f"frames of {width}x{height} pixels; at most {limits.pixels} are taken")
    for number, image in enumerate(images):
        if image.size != (width, height):
            raise BadRequest(
                f"frame {number} is {image.size[0]}x{image.size[1]} pixels, frame 0 "
                f"{width}x{height}: all frames must be of one size"
            )
    numbers = plan.frame_numbers(len(images))
    pixels = tuple(_pixels(images[number], f"frame {number}") for number in numbers)
    return DecodedFrames(len(images), numbers, pixels)


def _open(data: bytes, where: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except Exception as error:  # Pillow's readers raise whatever damaged bytes lead to
        raise BadRequest(f"{where}: is no JPEG or PNG") from error


def _pixels(image: Image.Image, where: str) -> np.ndarray:
    try:
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # as above
        raise BadRequest(f"{where}: is damaged") from error
