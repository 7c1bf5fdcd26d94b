"""tf.data pipelines: what a sampler names, from the files to batches."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from PIL import Image

from training.data.samplers import Sample
from training.errors import UserError

_reading_errors: list[UserError] = []  # that pipelines of this process have met


class Sampler(Protocol):
    """Names the sample of every position; see the samplers of training."""

    encoding: str  # how what a sample names is kept: `"jpeg"`, `"raw"` or `"encoded"`

    def __getitem__(self, position: int, /) -> Any:
        """Returns one sample, with its `video` and its `weight`."""


class FiniteSampler(Sampler, Protocol):
    """Has a last position; those after it are of weight 0."""

    def __len__(self) -> int:
        """Returns the number of samples."""


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
    sampler: Sampler, *, batch_size: int, start_step: int = 0, share: Share = Share()
) -> tf.data.Dataset:
    """Yields endless batches of training samples, from any step on, one a replica of the share.

    The same sampler gives the same batches whatever the parallelism and wherever it starts; what
    the replicas of one step read together is what one alone would have read.

    Args:
        sampler: what to read.
        batch_size: samples of a step over all replicas, a multiple of their number.
        start_step: number of the first step.
        share: the replicas to read for.

    Returns:
        Batches of `(inputs by name, label, weight)`: uint8 images, or float32 maps of encoded
        views, int32 `(batch,)`, float32 `(batch,)` of ones.
    """
    steps = tf.data.Dataset.range(start_step, tf.int64.max // batch_size)
    return _batches(steps, sampler, batch_size, share)


def finite_batches(
    sampler: FiniteSampler, *, batch_size: int, share: Share = Share()
) -> tf.data.Dataset:
    """Yields every sample of a finite sampler once, in order.

    The last batch is filled up with entries of weight 0, so that batches divide over devices
    and weighted metrics stay exact.

    Returns:
        Batches as `training_batches` gives them.
    """
    return _batches(
        tf.data.Dataset.range(-(-len(sampler) // batch_size)), sampler, batch_size, share
    )


@contextlib.contextmanager
def reading_errors_unwrapped():
    """Raises the error of reading in a pipeline in the place of what TensorFlow makes of it.

    Raises:
        UserError: that of the pipeline.
    """
    _reading_errors.clear()
    try:
        yield
    except tf.errors.UnknownError as error:
        if _reading_errors:
            raise _reading_errors[0] from error
        raise


def _batches(steps, sampler, batch_size: int, share: Share) -> tf.data.Dataset:
    per_replica = batch_size // share.total

    def positions(step):
        first = step * batch_size + share.first * per_replica
        return tf.data.Dataset.range(first, first + share.count * per_replica)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    readers = {"jpeg": _jpeg_batches, "raw": _raw_batches, "encoded": _encoded_batches}
    read = readers[sampler.encoding]
    data = read(steps.flat_map(positions), sampler, per_replica)
    return data.prefetch(2).with_options(options)


def _shaped(images, label, weight, sampler, leading: tuple[int, ...] = ()):
    """Gives names and static shapes to what came out of NumPy."""
    inputs = {
        name: tf.ensure_shape(image, (*leading, *shape))
        for (name, shape), image in zip(sampler.layout.shapes().items(), images, strict=True)
    }
    return inputs, tf.ensure_shape(label, leading), tf.ensure_shape(weight, leading)


def _raw_batches(positions, sampler, size: int) -> tf.data.Dataset:
    """Reads, checks and cuts raw frames, a batch in one call: there is nothing to decode."""

    def read_one(sample):
        frames = sampler.store.raw_frames(sample.video.path, sample.frame_indices.tolist())
        rows = slice(sample.top, sample.top + sample.size)
        columns = slice(sample.left, sample.left + sample.size)
        crops = (frame[rows, columns] for frame in frames)
        return sampler.layout.arrange(stack_crops(crops, sample.mirrored, sampler))

    def read(numbers):
        samples = [sampler[number] for number in numbers.tolist()]
        images = [np.empty((size, *shape), np.uint8) for shape in sampler.layout.shapes().values()]
        for number, sample in enumerate(samples):
            for batch, image in zip(images, read_one(sample), strict=True):
                batch[number] = image
        labels = np.array([sample.video.label for sample in samples], np.int32)
        return *images, labels, np.array([sample.weight for sample in samples], np.float32)

    def load(numbers):
        outputs = (*[tf.uint8] * len(sampler.layout.shapes()), tf.int32, tf.float32)
        *images, labels, weights = _reading(read, numbers, outputs)
        return _shaped(images, labels, weights, sampler, (size,))

    return positions.batch(size, drop_remainder=True).map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _encoded_batches(positions, sampler, size: int) -> tf.data.Dataset:
    """Reads maps of encoded views, a batch in one call."""
    shapes, videos = sampler.views.shapes, sampler.store.videos

    def read(numbers):
        samples = [sampler[number] for number in numbers.tolist()]
        rows = [sampler.views.read(videos[s.video.path], s.views) for s in samples]
        maps = [np.stack(part, dtype=np.float32) for part in zip(*rows, strict=True)]
        labels = np.array([sample.video.label for sample in samples], np.int32)
        return *maps, labels, np.array([sample.weight for sample in samples], np.float32)

    def load(numbers):
        outputs = (*[tf.float32] * len(shapes), tf.int32, tf.float32)
        *maps, labels, weights = _reading(read, numbers, outputs)
        inputs = {
            name: tf.ensure_shape(part, (size, *shape))
            for (name, shape), part in zip(shapes.items(), maps, strict=True)
        }
        return inputs, tf.ensure_shape(labels, (size,)), tf.ensure_shape(weights, (size,))

    return positions.batch(size, drop_remainder=True).map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _jpeg_batches(positions, sampler, size: int) -> tf.data.Dataset:
    """Reads and checks JPEGs, decodes hardly more of them than the crop."""

    def read(position):
        sample = sampler[int(position)]
        jpegs = sampler.store.read_jpegs(sample.video.path, sample.frame_indices.tolist())
        window = decoded_window(sample, sampler.store.videos[sample.video.path].width)
        label, weight = np.int32(sample.video.label), np.float32(sample.weight)
        jpegs, extra = np.array(jpegs, object), np.int32(sample.left - window[1])
        return jpegs, window, extra, np.bool_(sample.mirrored), label, weight

    def finish(extra, mirrored, *images):
        crops = (image[:, extra : extra + len(image)] for image in images)
        return sampler.layout.arrange(stack_crops(crops, mirrored, sampler))

    def load(position):
        outputs = (tf.string, tf.int32, tf.int32, tf.bool, tf.int32, tf.float32)
        jpegs, window, extra, mirrored, label, weight = _reading(read, position, outputs)
        decoded = [
            decode_window(jpegs[number], window) for number in range(sampler.layout.num_images)
        ]
        outputs = (tf.uint8,) * len(sampler.layout.shapes())
        images = tf.numpy_function(finish, [extra, mirrored, *decoded], outputs, stateful=False)
        return _shaped(images, label, weight, sampler)

    return positions.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(
        size, drop_remainder=True
    )


def _reading(read: Callable, number: tf.Tensor, outputs: tuple[tf.DType, ...]) -> list[tf.Tensor]:
    """Calls a function of samples' numbers in the graph; a `UserError` of it is remembered."""

    def remembering(number):
        try:
            return read(number)
        except UserError as error:
            _reading_errors.append(error)
            raise

    return tf.numpy_function(remembering, [number], outputs, stateful=False)


def decoded_window(sample: Sample, width: int) -> np.ndarray:
    """Returns what `decode_window` takes to hold a sample's crop, int32 `(4,)`.

    It is a column wider on each side, within the frame: the colours of a pixel are interpolated
    from its neighbours', and at a window's own edges there are none.

    Args:
        sample: with the crop.
        width: width of the frame, pixels.
    """
    left, right = max(0, sample.left - 1), min(width, sample.left + sample.size + 1)
    return np.array([sample.top, left, sample.size, right - left], np.int32)


def decode_window(jpeg: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Decodes a window of a JPEG: top, left, height and width.

    But for its first and last columns it holds the pixels that Pillow decodes, to the bit.
    """
    return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method="INTEGER_ACCURATE")


def stack_crops(crops: Iterable[np.ndarray], mirrored: bool, sampler) -> np.ndarray:
    """Stacks square crops as uint8 `(n, crop_size, crop_size, 3)`, resized and perhaps mirrored.

    In NumPy, whose reversed and unsigned arithmetic is faster than that of TensorFlow's ops.
    """
    size = sampler.layout.config.crop_size
    images = np.empty((sampler.layout.num_images, size, size, 3), np.uint8)
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
