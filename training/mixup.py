"""Mixup: each sample of a batch becomes a mixture with another one (Zhang et al. 2018)."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def mix_samples(
    inputs: Mapping[str, tf.Tensor],
    targets: tf.Tensor,
    weights: tf.Tensor,
    *,
    alpha: float,
    seed: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Mixes each sample with the one before it in the batch, inputs, targets and weights alike.

    ```
    x'_i = l_i x_i + (1 - l_i) x_(i-1),    l_i = max(b_i, 1 - b_i),    b_i ~ Beta(alpha, alpha)
    ```

    The sample itself has the larger share. A batch is in random order: any two samples meet.

    Example:
        >>> frames, targets = tf.constant([[0.0], [200.0]]), tf.eye(2)
        >>> seed = tf.constant([0, 0])
        >>> mixed, shares, _ = mix_samples(
        ...     {"frame": frames}, targets, tf.ones(2), alpha=1.0, seed=seed
        ... )
        >>> np.allclose(mixed["frame"], 200 * shares[:, 1:])
        True

    Args:
        inputs: by name, `(batch, ...)`; uint8 stays uint8, rounded.
        targets: `(batch, classes)`, float32.
        weights: of the samples' losses, `(batch,)`, float32.
        alpha: of the Beta distribution, more than 0; the larger, the more even the mixtures.
        seed: int32 `(2,)`; the same seed draws the same shares.

    Returns:
        The same three, mixed.
    """
    count = tf.shape(targets)[:1]
    draws = [
        tf.random.stateless_gamma(count, seed + tf.constant([0, number]), alpha=alpha)
        for number in range(2)
    ]
    share = draws[0] / tf.maximum(draws[0] + draws[1], np.finfo(np.float32).tiny)
    share = tf.maximum(share, 1 - share)

    def mixed(x: tf.Tensor) -> tf.Tensor:
        own = tf.reshape(share, [-1] + [1] * (len(x.shape) - 1))
        values = tf.cast(x, tf.float32)
        values = own * values + (1 - own) * tf.roll(values, 1, axis=0)
        return tf.cast(tf.round(values) if x.dtype.is_integer else values, x.dtype)

    return {name: mixed(x) for name, x in inputs.items()}, mixed(targets), mixed(weights)
