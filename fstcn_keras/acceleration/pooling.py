"""Pools maxima by what XLA fuses, under JAX.

XLA computes the gradient of a maximum pooling by a scatter, several passes over the largest maps of
the network. With `pixel_convolution` and `response_normalization` this form takes a training step
of `paper` on an NVIDIA H200 from 43.1 to 26.3 ms (`benchmarks/README.md`, `benchmarks.gpu`).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.layers import CeilMaxPooling2D
from fstcn_keras.tensors import Tensor


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` of `max_pool`.

    Example:
        >>> replacements(keras.layers.MaxPooling2D())
        {}
    """
    if not isinstance(layer, CeilMaxPooling2D) or not dispatch.under_jax():
        return {}
    return {"call": lambda x: max_pool(layer.pad(x), layer.pool_size, layer.strides)}


def max_pool(x: Tensor, size: int, strides: int) -> Tensor:
    """Computes the maxima of square windows within the maps; a gradient goes to the first maximum.

    Example:
        >>> maps = ops.reshape(ops.arange(25.0), (1, 5, 5, 1))
        >>> ops.convert_to_numpy(max_pool(maps, 3, 2))[0, :, :, 0]
        array([[12., 14.],
               [22., 24.]], dtype=float32)

    Args:
        x: `(batch, h, w, f)`, static but for the batch.
        size: side of the windows, pixels.
        strides: step between windows, pixels; at most `size`.

    Returns:
        `(batch, (h - size) // strides + 1, (w - size) // strides + 1, f)`.
    """
    height, width = x.shape[1:3]

    @ops.custom_gradient
    def pool(x: Tensor) -> tuple[Tensor, Callable]:
        maxima, offsets = _maxima(x, size, strides)

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            grads = args[0] if upstream is None else upstream
            blocks = -(-height // strides), -(-width // strides)
            whole = _input_gradient(grads, offsets, size, strides, blocks)
            return whole[:, :height, :width]

        return maxima, gradient

    return pool(x)


def _maxima(x: Tensor, size: int, strides: int) -> tuple[Tensor, Tensor]:
    """Returns the maximum of every window, and its offset `row * size + column` in it."""
    dtype = "int8" if size * size <= 128 else "int32"
    maxima = offsets = None
    rows, columns = ((length - size) // strides * strides + 1 for length in x.shape[1:3])
    for row in range(size):
        for column in range(size):
            part = x[:, row : row + rows : strides, column : column + columns : strides]
            if maxima is None:
                maxima, offsets = part, ops.zeros_like(part, dtype=dtype)
            else:
                offset = ops.cast(row * size + column, dtype)
                offsets = ops.where(part > maxima, offset, offsets)
                maxima = ops.maximum(maxima, part)  # hands NaN on
    return maxima, offsets


def _input_gradient(
    grads: Tensor, offsets: Tensor, size: int, strides: int, blocks: tuple[int, int]
) -> Tensor:
    """Returns the gradient of the inputs of `_maxima`, `(batch, blocks * strides, ..., f)`.

    Inputs at one offset in a block of `strides x strides` belong to the same windows, those of the
    blocks before: each offset is a sum of a few shifted maps, and the offsets are woven together.
    """
    before = (size - 1) // strides
    edges = [(0, 0), *((before, n - m) for n, m in zip(blocks, grads.shape[1:3], strict=True))]
    grads = ops.pad(grads, [*edges, (0, 0)])
    offsets = ops.pad(offsets, [*edges, (0, 0)], constant_values=-1)

    def offset_gradient(top: int, left: int) -> Tensor:
        total = ops.zeros((), grads.dtype)
        for row in range(top, size, strides):
            for column in range(left, size, strides):
                first = before - row // strides, before - column // strides
                window = (
                    slice(None),
                    *(slice(i, i + n) for i, n in zip(first, blocks, strict=True)),
                )
                here = offsets[window] == row * size + column
                total += ops.where(here, grads[window], ops.zeros((), grads.dtype))
        return total

    batch, (high, wide), features = -1, blocks, grads.shape[-1]
    rows = [
        ops.reshape(
            ops.stack([offset_gradient(top, left) for left in range(strides)], axis=3),
            (batch, high, wide * strides, features),
        )
        for top in range(strides)
    ]
    return ops.reshape(ops.stack(rows, axis=2), (batch, high * strides, wide * strides, features))
