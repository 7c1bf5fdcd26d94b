"""Which frames of which video, cropped where: the samples of training, as numbers alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fstcn_keras import clips
from fstcn_keras.config import FSTCNConfig
from fstcn_keras.fusion import CENTER_CROP
from training.data.collections import Video
from training.data.store import FrameStore, StoredVideo


@dataclass(frozen=True)
class ClipPairs:
    """Lays out samples for FSTCN: the frames of a clip and their differences (section 2.2)."""

    config: FSTCNConfig

    @property
    def num_images(self) -> int:
        """Returns the number of frames of a sample, `2 * l_t`."""
        return 2 * self.config.clip_length

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the network's inputs by name."""
        size = self.config.crop_size
        shape = (self.config.clip_length, size, size, 3)
        return {"clip": shape, "clip_diff": shape}

    def last_start(self, num_frames: int) -> int:
        """Returns the last start, see `clips.last_start`."""
        return clips.last_start(num_frames, **self.config.timing())

    def frame_indices(self, start: int, num_frames: int) -> np.ndarray:
        """Returns frame numbers `(2 * l_t,)`: the clip's, then those of what is subtracted."""
        return clips.pair_indices(start, num_frames, **self.config.timing()).ravel()

    def arrange(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns the inputs, in the order of `shapes`, from the images of `frame_indices`."""
        clip, later = np.split(images, 2)
        return clip, clips.absolute_difference(clip, later)


@dataclass(frozen=True)
class Frames:
    """Lays out samples for the auxiliary classifier: single frames (section 2.3)."""

    config: FSTCNConfig
    num_images = 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the network's inputs by name."""
        return {"frame": (self.config.crop_size, self.config.crop_size, 3)}

    def last_start(self, num_frames: int) -> int:
        """Returns the last frame."""
        return num_frames - 1

    def frame_indices(self, start: int, num_frames: int) -> np.ndarray:
        """Returns the one frame's number `(1,)`."""
        return np.array([start])

    def arrange(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns the one image."""
        return (images[0],)


@dataclass(frozen=True)
class Sample:
    """One sample to read: frames of a video and one crop of all of them.

    Attributes:
        video: the video.
        frame_indices: in the order that `arrange` of the layout expects.
        top: first row of the crop, pixels.
        left: first column of the crop, pixels.
        size: side of the crop, pixels; another than the network's is resized to it.
        mirrored: whether the crop is flipped left to right.
        weight: 1, or 0 for an entry that only fills up the last batch.
    """

    video: Video
    frame_indices: np.ndarray
    top: int
    left: int
    size: int
    mirrored: bool
    weight: float = 1.0


def crop_scale(config: FSTCNConfig) -> float:
    """Returns the side of the network's crop relative to the frame's short side."""
    return config.crop_size / config.short_side


def crop_side(stored: StoredVideo, scale: float) -> int:
    """Returns the side of a crop, pixels; `scale` is relative to the short side of the frames."""
    return max(1, round(scale * min(stored.height, stored.width)))


def drawn_scales(scales: Sequence[float], layout: ClipPairs | Frames) -> Sequence[float]:
    """Returns the sides of crops to draw from: those given, or that of the network's crop."""
    return scales or [crop_scale(layout.config)]


def random_sample(
    video: Video,
    store: FrameStore,
    layout: ClipPairs | Frames,
    *,
    generator: np.random.Generator,
    scales: Sequence[float],
) -> Sample:
    """Draws start, crop and flip, the same for all frames of the sample (section 2.5)."""
    stored = store.videos[video.path]
    last = layout.last_start(stored.num_frames)
    start = int(generator.integers(0, last, endpoint=True))
    size = crop_side(stored, scales[generator.integers(len(scales))])
    top, left, mirrored = random_crop(generator, stored.height, stored.width, size)
    frame_indices = layout.frame_indices(start, stored.num_frames)
    return Sample(video, frame_indices, top, left, size, mirrored)


def random_crop(
    generator: np.random.Generator, height: int, width: int, size: int
) -> tuple[int, int, bool]:
    """Draws one crop for all frames of a training pair, uniform over the positions where it fits.

    Example:
        >>> random_crop(np.random.default_rng(0), 240, 320, 204)
        (31, 74, True)

    Args:
        generator: draws the position.
        height: height of the frames, pixels.
        width: width of the frames, pixels.
        size: side of the square crop, pixels.

    Returns:
        Top, left, and whether the crop is mirrored (with probability 1/2).

    Reference:
        Sun et al. 2015, section 2.5 (cropped at the same location and flipped simultaneously).
    """
    top = int(generator.integers(0, height - size, endpoint=True))
    left = int(generator.integers(0, width - size, endpoint=True))
    return top, left, bool(generator.integers(2))


def center_sample(video: Video, store: FrameStore, layout: ClipPairs | Frames) -> Sample:
    """Takes the centre crop of the frames in the middle of a video."""
    stored = store.videos[video.path]
    size = crop_side(stored, crop_scale(layout.config))
    start = (layout.last_start(stored.num_frames) + 1) // 2
    top, left = map(int, clips.crop_grid(stored.height, stored.width, size)[CENTER_CROP])
    frame_indices = layout.frame_indices(start, stored.num_frames)
    return Sample(video, frame_indices, top, left, size, mirrored=False)


class EpochOrder:
    """Orders items anew in every epoch: a pure function of (seed, position).

    Args:
        count: of the items.
        seed: numbers not below 0.
    """

    def __init__(self, count: int, seed: Sequence[int]):
        self._count = count
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._permutation)

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([*self._seed, epoch]).permutation(self._count)

    def __getitem__(self, position: int) -> tuple[int, np.random.Generator]:
        """Returns which item is at a position, and what draws its sample there."""
        epoch, number = divmod(position, self._count)
        generator = np.random.default_rng([*self._seed, epoch, number])
        return int(self._order(epoch)[number]), generator


class TrainingSampler:
    """Samples training videos: an endless sequence, a pure function of (seed, position).

    Position `p` is number `p % n` of epoch `p // n`. Each epoch is a permutation of all n
    videos; start, crop and flip are drawn anew for each position, the same for all frames of
    the sample (section 2.5 of the paper).

    Args:
        store: the decoded frames.
        videos: those to draw from.
        layout: what a sample consists of.
        seed: numbers not below 0; others give other samples.
        scales: sides of the crop relative to the frame's short side, drawn with equal chance;
            without any, that of the network's crop in a frame of the store.
    """

    def __init__(
        self,
        store: FrameStore,
        videos: Sequence[Video],
        layout: ClipPairs | Frames,
        *,
        seed: Sequence[int],
        scales: Sequence[float] = (),
    ):
        self.store = store
        self.layout = layout
        self.encoding = store.encoding
        self._videos = videos
        self._scales = drawn_scales(scales, layout)
        self._order = EpochOrder(len(videos), seed)

    def __getitem__(self, position: int) -> Sample:
        number, generator = self._order[position]
        return random_sample(
            self._videos[number],
            self.store,
            self.layout,
            generator=generator,
            scales=self._scales,
        )


class CenterSampler:
    """Samples every video once, in order: the centre crop of the frames in the middle."""

    def __init__(self, store: FrameStore, videos: Sequence[Video], layout: ClipPairs | Frames):
        self.store = store
        self.layout = layout
        self.encoding = store.encoding
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, position: int) -> Sample:
        video = self._videos[min(position, len(self) - 1)]
        weight = float(position < len(self))
        return dataclasses.replace(center_sample(video, self.store, self.layout), weight=weight)
