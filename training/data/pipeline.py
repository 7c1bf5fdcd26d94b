"""tf.data pipelines of clip pairs: frames of the store to uint8 batches."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import tensorflow as tf

from fstcn_keras import ViewPlan, clips
from fstcn_keras.fusion import CENTER_CROP
from fstcn_keras.presets import FSTCNConfig
from training.data.datasets import Video
from training.data.store import FrameStore, StoreError


@dataclass(frozen=True)
class Draw:
    """One clip pair to read: which frames of which video, and where to crop.

    Attributes:
        video: the video.
        indices: frame numbers `(2, l_t)`, see `clips.pair_indices`.
        top: first row of the crop, pixels.
        left: first column of the crop, pixels.
        mirrored: whether the crop is flipped left to right.
        weight: 1, or 0 for an entry that only fills up the last batch.
    """

    video: Video
    indices: np.ndarray
    top: int
    left: int
    mirrored: bool
    weight: float = 1.0


class TrainingDraws:
    """The endless sequence of training draws, a pure function of (seed, position).

    Position `p` is number `p % n` of epoch `p // n`. Each epoch is a permutation of all n
    videos; start, crop and flip are drawn anew for each position, the same for all frames of
    the pair (section 2.5 of the paper).
    """

    def __init__(
        self, store: FrameStore, videos: Sequence[Video], config: FSTCNConfig, *, seed: int
    ):
        self._store = store
        self._videos = videos
        self._config = config
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._videos))

    def __getitem__(self, position: int) -> Draw:
        epoch, number = divmod(position, len(self._videos))
        video = self._videos[self._order(epoch)[number]]
        stored = self._store.videos[video.path]
        generator = np.random.default_rng([self._seed, epoch, number])
        last = clips.last_start(stored.num_frames, **_timing(self._config))
        start = int(generator.integers(0, last, endpoint=True))
        indices = clips.pair_indices(start, stored.num_frames, **_timing(self._config))
        size = self._config.crop_size
        return Draw(
            video, indices, *clips.random_crop(generator, stored.height, stored.width, size)
        )


class CenterDraws:
    """One draw per video, in order: the centre crop of the middle clip."""

    def __init__(self, store: FrameStore, videos: Sequence[Video], config: FSTCNConfig):
        self._store = store
        self._videos = videos
        self._plan = ViewPlan.of(config, num_clips=1)

    def __getitem__(self, position: int) -> Draw:
        video = self._videos[min(position, len(self._videos) - 1)]
        stored = self._store.videos[video.path]
        indices = self._plan.pair_indices(stored.num_frames)[0]
        grid = clips.crop_grid(stored.height, stored.width, self._plan.crop_size)
        weight = float(position < len(self._videos))
        return Draw(video, indices, *map(int, grid[CENTER_CROP]), mirrored=False, weight=weight)


def training_batches(
    store: FrameStore,
    videos: Sequence[Video],
    config: FSTCNConfig,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Endless batches of random clip pairs, from any step on.

    The same seed gives the same batches whatever the parallelism and wherever it starts.

    Returns:
        Batches of `({"clip", "clip_diff"}, label, weight)`: uint8 `(batch, l_t, h, w, 3)`,
        int32 `(batch,)`, float32 `(batch,)` of ones.
    """
    draws = TrainingDraws(store, videos, config, seed=seed)
    positions = tf.data.Dataset.range(start_step * batch_size, tf.int64.max)
    return _batches(positions, draws, store, config, batch_size)


def center_batches(
    store: FrameStore, videos: Sequence[Video], config: FSTCNConfig, *, batch_size: int
) -> tf.data.Dataset:
    """The centre crop of the middle clip of every video, once.

    The last batch is filled up with entries of weight 0, so that batches divide over devices
    and weighted metrics stay exact.

    Returns:
        Batches as `training_batches` gives them.
    """
    num_positions = -(-len(videos) // batch_size) * batch_size
    draws = CenterDraws(store, videos, config)
    return _batches(tf.data.Dataset.range(num_positions), draws, store, config, batch_size)


@contextlib.contextmanager
def store_errors_unwrapped():
    """Turns what TensorFlow makes of a `StoreError` in a pipeline back into one.

    Raises:
        StoreError: with the message it had in the pipeline.
    """
    try:
        yield
    except tf.errors.UnknownError as error:
        if match := re.search(r"StoreError: (.*)", str(error)):
            raise StoreError(match.group(1)) from error
        raise


def _batches(positions, draws, store, config, batch_size) -> tf.data.Dataset:
    def read(position):
        draw = draws[int(position)]
        jpegs = store.read_jpegs(draw.video.path, draw.indices.ravel())
        corner = np.array([draw.top, draw.left], np.int32)
        label, weight = np.int32(draw.video.label), np.float32(draw.weight)
        return np.array(jpegs, object), corner, np.bool_(draw.mirrored), label, weight

    def load(position):
        jpegs, corner, mirrored, label, weight = tf.numpy_function(
            read, [position], (tf.string, tf.int32, tf.bool, tf.int32, tf.float32)
        )
        pair = _decode_crops(jpegs, corner, config)  # (2, l_t, size, size, 3)
        pair = tf.cond(mirrored, lambda: tf.reverse(pair, [3]), lambda: pair)
        difference = tf.maximum(pair[0], pair[1]) - tf.minimum(pair[0], pair[1])
        label, weight = tf.ensure_shape(label, ()), tf.ensure_shape(weight, ())
        return {"clip": pair[0], "clip_diff": difference}, label, weight

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return (
        positions.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
        .with_options(options)
    )


def _decode_crops(jpegs: tf.Tensor, corner: tf.Tensor, config: FSTCNConfig) -> tf.Tensor:
    """Decodes nothing but the crop of each of the `2 * l_t` frames."""
    size = config.crop_size
    window = tf.concat([corner, [size, size]], axis=0)
    frames = [
        tf.io.decode_and_crop_jpeg(jpegs[number], window, channels=3)
        for number in range(2 * config.clip_length)
    ]
    return tf.reshape(tf.stack(frames), (2, config.clip_length, size, size, 3))


def _timing(config: FSTCNConfig) -> dict[str, int]:
    return {
        "clip_length": config.clip_length,
        "stride": config.stride,
        "distance": config.distance,
    }
