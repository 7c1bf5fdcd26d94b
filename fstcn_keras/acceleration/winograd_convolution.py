"""Convolves many channels with fewer products, by Winograd's minimal filtering.

Where TensorFlow runs on a processor alone, in float32, a training step of the paper's backbone with
Keras' own convolutions takes 1.41 times as long, that of `small` 1.07 times
(`benchmarks/results/layers.csv`, rows "Conv2D"). Not in bfloat16 where the processor multiplies
matrices of that, nor in float64.
"""

from typing import Any

import keras

from fstcn_keras.acceleration import dispatch, winograd
from fstcn_keras.tensors import Shape, Tensor

MIN_CHANNELS = 128  # of the inputs, phases of the strides counted apart: fewer are no faster


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `convolution_op` of `winograd.convolution` for the inputs that it suits.

    Example:
        >>> replacements(keras.layers.Conv2D(256, (1, 3)))  # not square
        {}
    """
    if type(layer) is not keras.layers.Conv2D or not dispatch.is_plain(layer):
        return {}
    in_units = dispatch.multiplies_matrices(layer.compute_dtype)
    if in_units or not dispatch.on_processor() or layer.compute_dtype == "float64":
        return {}

    def convolution_op(inputs: Tensor, kernel: Tensor) -> Tensor:
        if not suits(layer, inputs.shape):
            return type(layer).convolution_op(layer, inputs, kernel)
        maps = winograd.convolution(inputs, kernel, strides=layer.strides[0], padding=layer.padding)
        return keras.ops.cast(maps, layer.compute_dtype)

    return {"convolution_op": convolution_op}


def suits(layer: keras.layers.Conv2D, shape: Shape) -> bool:
    """Tells whether the convolution of maps `(batch, h, w, f)` is one that is faster here.

    Example:
        >>> suits(keras.layers.Conv2D(512, 3), (None, 12, 12, 256))
        True
    """
    strides = layer.strides[0]
    return (
        None not in shape[1:]
        and shape[-1] * strides**2 >= MIN_CHANNELS
        and (strides == 1 or layer.padding == "valid")
        and winograd.suits(
            shape[1:3], size=layer.kernel_size[0], strides=strides, filters=layer.filters
        )
    )
