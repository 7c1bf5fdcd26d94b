"""Pools maxima in ceil mode, as Caffe does it."""

from typing import Any

import keras
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class CeilMaxPooling2D(keras.layers.Layer):
    """Takes maxima over windows, the last of which may hang over the bottom and right edge.

    An axis of length `n` becomes `ceil((n - pool_size) / strides) + 1`; padding goes to the
    bottom and right only and never wins the maximum.

    Example:
        >>> CeilMaxPooling2D(3, 2).compute_output_shape((1, 99, 99, 96))
        (1, 49, 49, 96)

    Args:
        pool_size: side of the square window, pixels.
        strides: step between windows, pixels; at most `pool_size`.

    Input shape:
        `(batch, h, w, f)`, floating point; `h` and `w` at least `pool_size`.

    Output shape:
        `(batch, ceil((h - pool_size) / strides) + 1, ceil((w - pool_size) / strides) + 1, f)`.

    Raises:
        ValueError: if `strides` is not in 1..`pool_size`, or the input is smaller than a window.

    Reference:
        Sun et al. 2015, section 2.5 (max-pooling over 3x3 windows with stride 2); ceil mode is
        Caffe's, and the only one that turns 204 pixels into 12x12 maps.
    """

    def __init__(self, pool_size: int, strides: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 1 <= strides <= pool_size:
            raise ValueError(
                "`strides` must lie in 1..pool_size. "
                f"Received: pool_size={pool_size}, strides={strides}"
            )
        self.pool_size = pool_size
        self.strides = strides
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def _output_length(self, length: Any) -> Any:
        if length is None:
            return None
        if isinstance(length, int) and length < self.pool_size:
            raise ValueError(
                f"Input must be at least {self.pool_size} pixels wide and high. Received: {length}"
            )
        return -(-(length - self.pool_size) // self.strides) + 1

    def _overhang(self, length: Any) -> Any:
        return (self._output_length(length) - 1) * self.strides + self.pool_size - length

    def pad(self, x: Tensor) -> Tensor:
        """Returns maps with what the last windows hang over, minus infinity, added."""
        _, h, w, _ = ops.shape(x)
        edges = [(0, 0), (0, self._overhang(h)), (0, self._overhang(w)), (0, 0)]
        return ops.pad(x, edges, constant_values=float("-inf"))

    def call(self, x: Tensor) -> Tensor:
        """Returns the maxima of all windows, `(batch, h', w', f)`."""
        _, h, w, _ = ops.shape(x)  # tensors where they are not static
        overhangs = self._overhang(h), self._overhang(w)
        static = isinstance(h, int) and isinstance(w, int)
        padding = "valid"
        if static and overhangs == (1, 1) and self.pool_size == self.strides + 1:
            padding = "same"  # adds one row and column, at the bottom and right, without a copy
        elif not static or any(overhangs):
            x = self.pad(x)
        return ops.max_pool(
            x, self.pool_size, self.strides, padding=padding, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        batch, h, w, f = input_shape
        return (batch, self._output_length(h), self._output_length(w), f)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
        }
