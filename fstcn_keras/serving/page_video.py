"""Decodes a video for the page: what its answer needs, its seconds, and pictures of them.

As `decoding`, it imports neither Keras nor KServe.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fstcn_keras.serving.decoding import DecodedFrames, bad_videos_refused, too_much_decoded
from fstcn_keras.serving.limits import PICTURES_BYTES, Limits
from fstcn_keras.video import VideoReader
from fstcn_keras.video.frames import read_resized
from fstcn_keras.video.resampling import ResampledFrames
from fstcn_keras.video.sources import FrameReader
from fstcn_keras.views.plan import ViewPlan

MAX_SECONDS = 30  # that are scored one by one; of a longer video as many, spread evenly
JPEG_QUALITY = 70


@dataclass(frozen=True)
class Second:
    """Holds a second of a video, or what is left of its last.

    Example:
        >>> Second(0.0, 1.0, positions=np.zeros((2, 5), int)).end_s
        1.0

    Attributes:
        start_s: where it begins, seconds.
        end_s: where it ends, seconds.
        positions: of the frames of its clip pair in those of the video, int64 `(2, l_t)`.
    """

    start_s: float
    end_s: float
    positions: np.ndarray


@dataclass(frozen=True)
class PageVideo:
    """Holds what the page shows of a video, and what is scored for it.

    Attributes:
        frames: of its views and of its seconds.
        spans: where each clip of the views begins and ends, seconds.
        seconds: those that are scored one by one.
        pictures: when each is shown, seconds, and the picture as a JPEG; all of them take
            `PICTURES_BYTES` at most.
        length_s: of the whole video.
    """

    frames: DecodedFrames
    spans: tuple[tuple[float, float], ...]
    seconds: tuple[Second, ...]
    pictures: tuple[tuple[float, bytes], ...]
    length_s: float


def decode_for_page(data: bytes, plan: ViewPlan, limits: Limits) -> PageVideo:
    """Decodes the frames of the views of a video, and of its seconds.

    Raises:
        BadRequest: if it is no video, or cannot be decoded.
        TooLarge: beyond the limits.
    """
    with bad_videos_refused():
        return _decode(data, plan, limits)


def jpeg(image: np.ndarray) -> bytes:
    """Encodes an image, uint8 `(height, width, 3)`, as a JPEG.

    Example:
        >>> jpeg(np.zeros((8, 8, 3), np.uint8))[:2].hex()
        'ffd8'
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _decode(data: bytes, plan: ViewPlan, limits: Limits) -> PageVideo:
    video = VideoReader(io.BytesIO(data), max_pixels=limits.pixels, max_frames=limits.frames)
    video.count()
    incomplete, notes, times = video.incomplete, video.notes, video.times()
    reader: FrameReader = video
    if plan.fps is not None:
        reader = ResampledFrames(video, plan.fps, times=times)
        times = reader.times()
    num_frames = len(times) - 1
    clip_pairs = plan.pair_indices(num_frames)
    second_pairs = plan.pair_indices_by_second(times)
    chosen = _spread(len(second_pairs), _most_seconds(reader, plan, limits))
    second_pairs = second_pairs[chosen]
    numbers = np.unique(np.concatenate([clip_pairs, second_pairs]))
    images = tuple(read_resized(reader, numbers.tolist(), plan.short_side))
    if sum(image.nbytes for image in images) > limits.decoded_bytes:
        raise too_much_decoded(limits)
    pictures = tuple(
        (float(times[number]), jpeg(images[np.searchsorted(numbers, number)]))
        for number in np.unique(second_pairs[:, 0]).tolist()
    )
    return PageVideo(
        frames=DecodedFrames(num_frames, tuple(numbers.tolist()), images, incomplete, notes),
        spans=tuple(
            (float(times[pair.min()]), float(times[pair.max() + 1])) for pair in clip_pairs
        ),
        seconds=tuple(
            Second(
                float(second), min(second + 1.0, float(times[-1])), np.searchsorted(numbers, pair)
            )
            for second, pair in zip(chosen.tolist(), second_pairs, strict=True)
        ),
        pictures=_fewer(pictures, PICTURES_BYTES),
        length_s=float(times[-1]),
    )


def _most_seconds(reader: FrameReader, plan: ViewPlan, limits: Limits) -> int:
    """Returns how many seconds the memory for their frames and pictures allows, at least one."""
    (first,) = read_resized(reader, [0], plan.short_side)
    clip_bytes = 2 * plan.clip_length * first.nbytes
    left = limits.decoded_bytes - plan.num_clips * clip_bytes
    return int(np.clip(left // (1.5 * clip_bytes), 1, MAX_SECONDS))


def _fewer(pictures: tuple[tuple[float, bytes], ...], most: int) -> tuple[tuple[float, bytes], ...]:
    """Returns all pictures, or every second, fourth, ... as far as they take so many bytes."""
    while sum(len(picture) for _, picture in pictures) > most:
        pictures = pictures[::2] if len(pictures) > 1 else ()
    return pictures


def _spread(number: int, most: int) -> np.ndarray:
    """Returns which of so many seconds are scored, increasing."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int))
