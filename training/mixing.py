"""Mixed samples: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019), on whole clip pairs."""

import tensorflow as tf


def mix(
    inputs: dict[str, tf.Tensor], targets: tf.Tensor, *, share: float, seed: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Mixes each sample of a batch with its mirror place, all frames of the pair alike.

    With probability `share` the batch is blended, `lambda x + (1 - lambda) x'` with lambda of
    Beta(0.4, 0.4) for each sample; with the same probability a rectangle of each sample, of a
    uniform share of its area, is replaced; else it is left alone. Targets are mixed by the
    shares of the pixels.

    Args:
        inputs: uint8 images by name, `(batch, ..., height, width, 3)`.
        targets: float32 `(batch, classes)`.
        share: probability of each kind, at most 1/2.
        seed: int `(2,)`; the same seed mixes alike.
    """
    seeds = tf.unstack(tf.random.split(seed, 4), axis=0)
    batch, size = tf.shape(targets)[0], next(iter(inputs.values())).shape[-2]
    kind = tf.random.stateless_uniform((), seeds[0])
    gamma = tf.random.stateless_gamma((2, batch), seeds[1], 0.4) + 1e-6
    blend = tf.ones((batch, size, size)) * (gamma[0] / tf.reduce_sum(gamma, axis=0))[:, None, None]
    own = tf.where(kind < share, blend, tf.ones_like(blend))
    own = tf.where((kind >= share) & (kind < 2 * share), _cut(batch, size, seeds[2:]), own)
    mixed = {name: _blend(images, own) for name, images in inputs.items()}
    weight = tf.reduce_mean(own, axis=(1, 2))[:, None]
    return mixed, weight * targets + (1 - weight) * targets[::-1]


def _cut(batch, size: int, seeds) -> tf.Tensor:
    """1 where a pixel is the sample's own, 0 in a rectangle, `(batch, size, size)`."""
    side = tf.sqrt(tf.random.stateless_uniform((batch, 1), seeds[0])) * size
    centre = tf.random.stateless_uniform((2, batch, 1), seeds[1]) * size
    inside = tf.abs(tf.range(size, dtype=tf.float32) + 0.5 - centre) < side / 2  # (2, batch, size)
    return 1 - tf.cast(inside[0][:, :, None] & inside[1][:, None, :], tf.float32)


def _blend(images: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    own = own[..., None]
    while len(own.shape) < len(images.shape):
        own = own[:, None]
    values = tf.cast(images, tf.float32)
    return tf.cast(tf.round(own * values + (1 - own) * values[::-1]), images.dtype)
