"""Views of training videos that fixed layers have encoded: computed once, kept in the cache.

A stage that trains what follows the encoders sees the same maps in every epoch where the views are
the same; from them a step takes a small part of its time. A video's file depends on the video, the
views and the encoders' weights alone, so that all folds, seeds and settings of heads share it.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from fstcn_keras import FSTCN, parts
from fstcn_keras.files import atomic_write
from training.data.cache import cache_folder
from training.data.collections import Video
from training.data.pipeline import finite_batches, reading_errors_unwrapped
from training.data.samplers import (
    ClipPairs,
    EpochOrder,
    Sample,
    center_sample,
    drawn_scales,
    random_sample,
)
from training.data.store import FrameStore, StoredVideo
from training.errors import UserError
from training.locks import locked

FORMAT = 1  # of the files; views that are drawn otherwise are another format
BATCH = 8  # views that are encoded at once


class FixedViews:
    """Samples so many views of every video, drawn as in training, then its centre; in order.

    Args:
        store: the decoded frames.
        videos: those to sample.
        layout: what a sample consists of.
        num_views: drawn views of a video.
        scales: as of `TrainingSampler`.
    """

    def __init__(
        self,
        store: FrameStore,
        videos: Sequence[Video],
        layout: ClipPairs,
        *,
        num_views: int,
        scales: Sequence[float],
    ):
        self.store = store
        self.layout = layout
        self.encoding = store.encoding
        self.num_views = num_views
        self._videos = videos
        self._scales = drawn_scales(scales, layout)

    def __len__(self) -> int:
        return (self.num_views + 1) * len(self._videos)

    def __getitem__(self, position: int) -> Sample:
        number, view = divmod(min(position, len(self) - 1), self.num_views + 1)
        video = self._videos[number]
        if view == self.num_views:
            sample = center_sample(video, self.store, self.layout)
        else:
            generator = np.random.default_rng([*_name(video.path).digest(), view])
            sample = random_sample(
                video, self.store, self.layout, generator=generator, scales=self._scales
            )
        return dataclasses.replace(sample, weight=float(position < len(self)))

    def frame(self, position: int) -> int:
        """Returns which frame of the clip the spatial path sees: any one, of the centre the middle.

        `FrameChoice` draws it anew in every step, and so would have to be encoded each frame.
        """
        number, view = divmod(min(position, len(self) - 1), self.num_views + 1)
        length = self.layout.config.clip_length
        if view == self.num_views:
            return length // 2
        digest = _name(self._videos[number].path).digest()
        return int(np.random.default_rng([*digest, view, 1]).integers(length))


@dataclass(frozen=True)
class EncodedViews:
    """The encoded views of some videos.

    Attributes:
        folders: of the files of each encoder, by the name of its maps; one file a video, float16
            `(num_views + 1, ...)`, the centre last.
        shapes: of the maps by name.
        num_views: drawn views of a video.
    """

    folders: dict[str, Path]
    shapes: dict[str, tuple[int, ...]]
    num_views: int

    def file(self, stored: StoredVideo, name: str) -> Path:
        """Returns the file of a video's maps of this name."""
        digest = _name(f"{stored.path}/{stored.source_sha256}").hexdigest()
        return self.folders[name] / digest[:2] / f"{digest}.npy"

    def lacking(self, store: FrameStore, videos: Iterable[Video]) -> list[Video]:
        """Returns those of the videos of which a file is not there."""
        return [
            video
            for video in videos
            if not all(self.file(store.videos[video.path], name).exists() for name in self.shapes)
        ]

    def read(self, stored: StoredVideo, views: Sequence[int]) -> Iterator[np.ndarray]:
        """Yields the maps of one view for each name, float16, in the order of `shapes`.

        Args:
            stored: facts of the video.
            views: a number for each name, 0 to `num_views`; the last is the centre.

        Raises:
            UserError: if a file is gone or damaged.
        """
        for name, view in zip(self.shapes, views, strict=True):
            yield self._maps(stored, name)[view]

    def read_all(self, stored: StoredVideo) -> dict[str, np.ndarray]:
        """Returns the maps of all views by name, float16 `(num_views + 1, ...)`, the centre last.

        Raises:
            UserError: as `read` does.
        """
        return {name: self._maps(stored, name) for name in self.shapes}

    def _maps(self, stored: StoredVideo, name: str) -> np.ndarray:
        """Maps a video's file of this name into memory."""
        file, shape = self.file(stored, name), (self.num_views + 1, *self.shapes[name])
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False).reshape(shape)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"the encoded views in {file} cannot be read ({error}): remove the file and "
                "give the same command again"
            ) from error


@dataclass(frozen=True)
class EncodedSample:
    """One encoded view to read for each encoder, in the order of the maps; see `Sample`."""

    video: Video
    views: tuple[int, ...]
    weight: float = 1.0


class EncodedSampler:
    """Samples encoded training videos: an endless sequence, a pure function of (seed, position).

    Each epoch is a permutation of all videos, with one of the drawn views of each.

    Args:
        store: facts of the videos.
        videos: those to draw from.
        views: encoded.
        independent: whether each path sees a view of its own drawing, or all see the same one.
        seed: numbers not below 0.
    """

    encoding = "encoded"

    def __init__(
        self,
        store: FrameStore,
        videos: Sequence[Video],
        views: EncodedViews,
        *,
        independent: bool,
        seed: Sequence[int],
    ):
        self.store = store
        self.views = views
        self._videos = videos
        self._independent = independent
        self._order = EpochOrder(len(videos), seed)

    def __getitem__(self, position: int) -> EncodedSample:
        number, generator = self._order[position]
        num_paths = len(self.views.shapes)
        size = num_paths if self._independent else 1
        drawn = generator.integers(self.views.num_views, size=size).tolist()
        return EncodedSample(self._videos[number], tuple(drawn * (num_paths // size)))


class EncodedCenters:
    """Samples the encoded centre of every video once, in order; see `CenterSampler`."""

    encoding = "encoded"

    def __init__(self, store: FrameStore, videos: Sequence[Video], views: EncodedViews):
        self.store = store
        self.views = views
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, position: int) -> EncodedSample:
        video = self._videos[min(position, len(self) - 1)]
        center = (self.views.num_views,) * len(self.views.shapes)
        return EncodedSample(video, center, weight=float(position < len(self)))


def encode_views(
    model: FSTCN,
    store: FrameStore,
    videos: Sequence[Video],
    *,
    num_views: int,
    scales: Sequence[float],
) -> EncodedViews:
    """Encodes so many views of each video, and its centre, unless the cache holds them.

    Args:
        model: whose encoders and pooling are taken.
        store: the decoded frames.
        videos: training videos and those that are held out.
        num_views: views of a video, drawn as in training.
        scales: sides of the crops, as of `TrainingSampler`.

    Raises:
        StoreError: if the store is damaged.
        UserError: if features are too large for 16 bits, or not finite.
        OSError: if the disk is full.
    """
    network = _encoding_network(model)
    shapes = {name: tuple(maps.shape[1:]) for name, maps in network.output.items()}
    timing = model.config.timing()
    if timing["sampling"] == "dense":
        del timing["sampling"]  # as files were before there was another
    facts = {
        "format": FORMAT,
        "views": num_views,
        "scales": list(scales),
        "store": store.settings,
        "config": [model.config.short_side, model.config.crop_size, timing],
        "dtype": model.dtype_policy.name,
    }
    encoders = {"frame": model.frame_encoder, "differences": model.difference_encoder}
    folder = cache_folder() / "encoded-views"
    folders = {name: folder / f"{name}-{_digest(encoders[name], facts)}" for name in shapes}
    views = EncodedViews(folders, shapes, num_views)

    layout = ClipPairs(model.config)
    if views.lacking(store, videos):
        with _held(views):
            lacking = views.lacking(store, videos)  # another process may have encoded some
            size = sum(map(np.prod, shapes.values())) * 2 * (num_views + 1) * len(lacking)
            print(
                f"encoding {num_views} views of {len(lacking)} videos; "
                f"{size / 1e6:.0f} MB in {folder}"
            )
            sampler = FixedViews(store, lacking, layout, num_views=num_views, scales=scales)
            _encode(network, sampler, lacking, views)
    return views


@contextlib.contextmanager
def _held(views: EncodedViews) -> Iterator[None]:
    """Holds the folders of the views, which other runs write as well."""
    with contextlib.ExitStack() as held:
        for folder in sorted(views.folders.values()):  # in the order of everybody who holds two
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder, "prepares"))
        yield


def _encoding_network(model: FSTCN) -> keras.Model:
    """Returns what maps one frame and all differences of clips to the pooled maps of the head."""
    inputs, maps = {}, {}
    size = model.config.crop_size
    if model.frame_encoder is not None:
        inputs["frame"] = keras.Input((size, size, 3), dtype="uint8", name="frame")
        maps["frame"] = model.frame_encoder(inputs["frame"])
    if model.difference_encoder is not None:
        shape = (model.config.clip_length, size, size, 3)
        inputs["differences"] = keras.Input(shape, dtype="uint8", name="differences")
        each = keras.layers.TimeDistributed(model.difference_encoder)
        maps["differences"] = each(inputs["differences"])
    return keras.Model(inputs, parts.pooling(model.head)(maps))


def _digest(encoder: keras.Model, facts: Mapping) -> str:
    digest = _name(json.dumps(facts))
    for weight in encoder.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()[:20]


def _name(text: str) -> "hashlib._Hash":
    return hashlib.sha256(text.encode("utf-8", "surrogateescape"))


def _encode(
    network: keras.Model, sampler: FixedViews, videos: Iterable[Video], views: EncodedViews
):
    """Writes the files of the videos that the sampler samples."""
    rows: list[dict[str, np.ndarray]] = []
    left = iter(videos)
    with reading_errors_unwrapped():
        for row in tqdm(_maps(network, sampler), "views", total=len(sampler), disable=None):
            rows.append(row)
            if len(rows) < sampler.num_views + 1:
                continue
            stored = sampler.store.videos[next(left).path]
            for name in views.shapes:
                maps = np.stack([row[name] for row in rows])
                _write(views.file(stored, name), maps, stored.path)
            rows.clear()


def _maps(network: keras.Model, sampler: FixedViews) -> Iterator[dict[str, np.ndarray]]:
    """Yields the maps of every view of the sampler by name."""
    first = range(0, len(sampler), BATCH)
    for start, (inputs, _, weights) in zip(
        first, finite_batches(sampler, batch_size=BATCH), strict=True
    ):
        chosen = [sampler.frame(start + number) for number in range(BATCH)]
        images = {
            "frame": inputs["clip"].numpy()[np.arange(BATCH), chosen],
            "differences": inputs["clip_diff"].numpy(),
        }
        maps = network.predict_on_batch({name: images[name] for name in network.input})
        for number in range(int(sum(weights.numpy()))):
            yield {name: part[number] for name, part in maps.items()}


def _write(file: Path, maps: np.ndarray, path: str):
    with np.errstate(over="ignore"):  # told below
        numbers = maps.astype(np.float16)
    if not np.isfinite(numbers).all():
        raise UserError(
            f"{path}: its features do not fit 16 bits, the largest is {np.abs(maps).max():.3g}; "
            "train without encoded views: --encoded-views 0"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.save(stream, numbers)
