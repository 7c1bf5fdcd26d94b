"""Runs `TimeDistributed` without its loop over time: frames are folded into the batch.

The stock wrapper calls its layer once for every frame of a clip. One call for all of them makes a
training step of the backbone 1.13 to 1.30 times as fast (`benchmarks/results/layers.csv`, rows
"TimeDistributed").
"""

from typing import Any

import keras
from keras import ops

from fstcn_keras.tensors import Tensor


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` that folds time, for a layer without masks.

    Example:
        >>> list(replacements(keras.layers.TimeDistributed(keras.layers.ReLU())))
        ['call']
    """
    if not isinstance(layer, keras.layers.TimeDistributed):
        return {}

    def call(inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        if mask is not None or inputs.shape[1] is None:
            return type(layer).call(layer, inputs, training=training, mask=mask)
        l_t = inputs.shape[1]
        frames = ops.reshape(inputs, (-1, *inputs.shape[2:]))  # (batch * l_t, ...)
        outputs = layer.layer(frames)
        return ops.reshape(outputs, (-1, l_t, *outputs.shape[1:]))

    return {"call": call}
