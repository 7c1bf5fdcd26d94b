"""tf.data pipelines: the frames that draws name, from the store to uint8 batches."""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from training.data.samplers import CenterDraws, Draw, TrainingDraws
from training.data.store import StoreError


@dataclass(frozen=True)
class Share:
    """The part of every global batch that one process reads, in replicas.

    Attributes:
        first: number of the process's first replica.
        count: replicas of the process.
        total: replicas of all processes.
    """

    first: int = 0
    count: int = 1
    total: int = 1


def training_batches(
    draws: TrainingDraws, *, batch_size: int, start_step: int = 0, share: Share = Share()
) -> tf.data.Dataset:
    """Endless batches of training draws, from any step on, one for each replica of the share.

    The same draws give the same batches whatever the parallelism and wherever it starts; what
    the replicas of one step read together is what one alone would have read.

    Args:
        draws: the sequence of draws.
        batch_size: samples of a step over all replicas, a multiple of their number.
        start_step: number of the first step.
        share: the replicas to read for.

    Returns:
        Batches of `(inputs by name, label, weight)`: uint8 images, int32 `(batch,)`, float32
        `(batch,)` of ones.
    """
    steps = tf.data.Dataset.range(start_step, tf.int64.max // batch_size)
    return _batches(steps, draws, batch_size, share)


def center_batches(
    draws: CenterDraws, *, batch_size: int, share: Share = Share()
) -> tf.data.Dataset:
    """The centre crop of the middle of every video, once.

    The last batch is filled up with entries of weight 0, so that batches divide over devices
    and weighted metrics stay exact.

    Returns:
        Batches as `training_batches` gives them.
    """
    return _batches(tf.data.Dataset.range(-(-len(draws) // batch_size)), draws, batch_size, share)


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


def _batches(steps, draws, batch_size: int, share: Share) -> tf.data.Dataset:
    per_replica = batch_size // share.total

    def positions(step):
        first = step * batch_size + share.first * per_replica
        return tf.data.Dataset.range(first, first + share.count * per_replica)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    read = {"jpeg": _batches_of_jpegs, "raw": _batches_of_raw}[draws.store.encoding]
    data = read(steps.flat_map(positions), draws, per_replica)
    return data.prefetch(2).with_options(options)


def _shaped(images, label, weight, draws, leading: tuple[int, ...] = ()):
    """Names and static shapes for what came out of NumPy."""
    inputs = {
        name: tf.ensure_shape(image, (*leading, *shape))
        for (name, shape), image in zip(draws.sample.shapes().items(), images, strict=True)
    }
    return inputs, tf.ensure_shape(label, leading), tf.ensure_shape(weight, leading)


def _batches_of_raw(positions, draws, size: int) -> tf.data.Dataset:
    """Reads, checks and cuts raw frames, a batch in one call: there is nothing to decode."""

    def read_one(draw):
        frames = draws.store.raw_frames(draw.video.path, draw.indices.tolist())
        rows = slice(draw.top, draw.top + draw.size)
        columns = slice(draw.left, draw.left + draw.size)
        crops = (frame[rows, columns] for frame in frames)
        return draws.sample.arrange(stack_crops(crops, draw.mirrored, draws))

    def read(numbers):
        drawn = [draws[number] for number in numbers.tolist()]
        images = [np.empty((size, *shape), np.uint8) for shape in draws.sample.shapes().values()]
        for place, draw in enumerate(drawn):
            for batch, image in zip(images, read_one(draw), strict=True):
                batch[place] = image
        labels = np.array([draw.video.label for draw in drawn], np.int32)
        return *images, labels, np.array([draw.weight for draw in drawn], np.float32)

    def load(numbers):
        outputs = (*[tf.uint8] * len(draws.sample.shapes()), tf.int32, tf.float32)
        *images, labels, weights = tf.numpy_function(read, [numbers], outputs, stateful=False)
        return _shaped(images, labels, weights, draws, (size,))

    return positions.batch(size, drop_remainder=True).map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _batches_of_jpegs(positions, draws, size: int) -> tf.data.Dataset:
    """Reads and checks JPEGs, decodes hardly more of them than the crop."""

    def read(position):
        draw = draws[int(position)]
        jpegs = draws.store.read_jpegs(draw.video.path, draw.indices.tolist())
        window = decoded_window(draw, draws.store.videos[draw.video.path].width)
        label, weight = np.int32(draw.video.label), np.float32(draw.weight)
        jpegs, extra = np.array(jpegs, object), np.int32(draw.left - window[1])
        return jpegs, window, extra, np.bool_(draw.mirrored), label, weight

    def finish(extra, mirrored, *images):
        crops = (image[:, extra : extra + len(image)] for image in images)
        return draws.sample.arrange(stack_crops(crops, mirrored, draws))

    def load(position):
        outputs = (tf.string, tf.int32, tf.int32, tf.bool, tf.int32, tf.float32)
        jpegs, window, extra, mirrored, label, weight = tf.numpy_function(
            read, [position], outputs, stateful=False
        )
        decoded = [
            decode_window(jpegs[number], window) for number in range(draws.sample.num_images)
        ]
        outputs = (tf.uint8,) * len(draws.sample.shapes())
        images = tf.numpy_function(finish, [extra, mirrored, *decoded], outputs, stateful=False)
        return _shaped(images, label, weight, draws)

    return positions.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(
        size, drop_remainder=True
    )


def decoded_window(draw: Draw, width: int) -> np.ndarray:
    """Returns what `decode_window` takes to hold a draw's crop, int32 `(4,)`.

    It is a column wider on each side, within the frame: the colours of a pixel are interpolated
    from its neighbours', and at a window's own edges there are none.

    Args:
        draw: with the crop.
        width: width of the frame, pixels.
    """
    left, right = max(0, draw.left - 1), min(width, draw.left + draw.size + 1)
    return np.array([draw.top, left, draw.size, right - left], np.int32)


def decode_window(jpeg: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Decodes a window of a JPEG: top, left, height and width.

    But for its first and last columns it holds the pixels that Pillow decodes, to the bit.
    """
    return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method="INTEGER_ACCURATE")


def stack_crops(crops: Iterable[np.ndarray], mirrored: bool, draws) -> np.ndarray:
    """Square crops as uint8 `(n, crop_size, crop_size, 3)`, resized and mirrored where asked.

    In NumPy, whose reversed and unsigned arithmetic is faster than that of TensorFlow's ops.
    """
    size = draws.sample.config.crop_size
    images = np.empty((draws.sample.num_images, size, size, 3), np.uint8)
    for target, crop in zip(images, crops, strict=True):
        if len(crop) != size:
            image = Image.fromarray(crop)
            crop = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
        if mirrored:
            for channel in range(3):  # a quarter of the time of all channels in one go
                target[..., channel] = crop[:, ::-1, channel]
        else:
            target[...] = crop
    return images
