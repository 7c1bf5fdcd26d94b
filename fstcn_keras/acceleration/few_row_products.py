"""Multiplies few rows with a large matrix in float32, under mixed precision too.

At few rows the time of a fully-connected layer is that of moving its kernel through memory, and
mixed precision writes it once more, in bfloat16: the layers of `small` and `paper` take 1.49 times
as long that way (`benchmarks/results/layers.csv`, rows "Dense", bfloat16). Keras hands a layer
weights as they are stored only within a model of the same policy, as FSTCN's parts are.
"""

from typing import Any

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.tensors import Tensor

MAX_ROWS = 32  # of inputs: at more, multiplying in bfloat16 wins over converting


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` that picks the format of the product by the number of rows.

    Example:
        >>> replacements(keras.layers.Dense(4, dtype="float32"))  # which needs no other format
        {}
    """
    mixed = layer.variable_dtype == "float32" != layer.compute_dtype
    if type(layer) is not keras.layers.Dense or not (mixed and dispatch.on_processor()):
        return {}

    def call(inputs: Tensor, training: bool | None = None) -> Tensor:
        rows = inputs.shape[0] if len(inputs.shape) == 2 else None
        dtype = "float32" if rows is not None and rows <= MAX_ROWS else layer.compute_dtype
        x = ops.matmul(ops.cast(inputs, dtype), ops.cast(layer.kernel, dtype))
        if layer.bias is not None:
            x = ops.add(x, ops.cast(layer.bias, dtype))
        if layer.activation is not None:
            x = layer.activation(x)
        return ops.cast(x, layer.compute_dtype)

    return {"call": call, "autocast": False}  # the weights reach `call` as they are stored
