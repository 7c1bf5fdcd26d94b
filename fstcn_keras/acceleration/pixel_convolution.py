"""Convolves an image's three channels with strides, for matrix units that want more channels.

Under JAX the strides are folded into channels: blocks of pixels become one pixel of as many more
channels. With `pooling` and `response_normalization` it takes a training step of `paper` on an
NVIDIA H200 from 43.1 to 26.3 ms (`benchmarks/README.md`, `benchmarks.gpu`).
"""

from typing import Any

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.tensors import Tensor

PIXEL_CHANNELS = 3


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `convolution_op` of `strided_convolution` for a strided one of pixels.

    Example:
        >>> replacements(keras.layers.Conv2D(96, 7))  # without strides
        {}
    """
    if type(layer) is not keras.layers.Conv2D or not dispatch.is_plain(layer):
        return {}
    if not dispatch.under_jax() or layer.strides[0] == 1 or layer.padding != "valid":
        return {}

    def convolution_op(inputs: Tensor, kernel: Tensor) -> Tensor:
        if inputs.shape[-1] != PIXEL_CHANNELS:
            return type(layer).convolution_op(layer, inputs, kernel)
        return strided_convolution(inputs, kernel, layer.strides[0])

    return {"convolution_op": convolution_op}


def strided_convolution(images: Tensor, kernel: Tensor, strides: int) -> Tensor:
    """Computes a "valid" convolution whose strides are folded into channels.

    Blocks of `strides x strides` pixels become one pixel of `strides^2` times the channels, filled
    up with zeros to a multiple of 8, and the kernel likewise; the strides become 1.

    Example:
        >>> maps = strided_convolution(ops.ones((1, 15, 15, 3)), ops.ones((7, 7, 3, 4)), strides=2)
        >>> tuple(maps.shape), float(maps[0, 0, 0, 0])
        ((1, 5, 5, 4), 147.0)

    Args:
        images: `(batch, h, w, channels)`, static but for the batch.
        kernel: `(size, size, channels, filters)`.
        strides: step of the convolution, pixels.

    Returns:
        `(batch, (h - size) // strides + 1, (w - size) // strides + 1, filters)`.
    """
    size, _, channels, filters = kernel.shape
    side = -(-size // strides)  # of the kernel in blocks
    high, wide = ((length - size) // strides + side for length in images.shape[1:3])  # in blocks

    lengths = high * strides, wide * strides
    images = images[:, : lengths[0], : lengths[1]]
    edges = [(0, n - m) for n, m in zip(lengths, images.shape[1:3], strict=True)]
    images = ops.pad(images, [(0, 0), *edges, (0, 0)])
    images = ops.reshape(images, (-1, high, strides, wide, strides, channels))
    images = ops.transpose(images, (0, 1, 3, 2, 4, 5))
    images = ops.reshape(images, (-1, high, wide, strides * strides * channels))

    edge = (0, side * strides - size)
    kernel = ops.pad(kernel, [edge, edge, (0, 0), (0, 0)])
    kernel = ops.reshape(kernel, (side, strides, side, strides, channels, filters))
    kernel = ops.transpose(kernel, (0, 2, 1, 3, 4, 5))
    kernel = ops.reshape(kernel, (side, side, strides * strides * channels, filters))

    lacking = -(strides * strides * channels) % 8
    images = ops.pad(images, [(0, 0), (0, 0), (0, 0), (0, lacking)])
    kernel = ops.pad(kernel, [(0, 0), (0, 0), (0, lacking), (0, 0)])
    return ops.conv(images, kernel, strides=1, padding="valid", data_format="channels_last")
