"""Normalises local responses across feature channels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by the energy of its neighbouring feature channels.

    ```
    y[..., i] = x[..., i] / (bias + alpha / depth * sum_{|j - i| <= depth // 2} x[..., j]^2) ^ beta
    ```

    Channels outside the range count as zero. The sum over channels is one product with a banded
    matrix. Squares of activations overflow float16: under that policy the sum runs in float32, as
    the power does under every one, float64 too.

    Example:
        >>> outputs = LocalResponseNormalization()(ops.ones((1, 5)))
        >>> round(float(outputs[0, 2]), 3)  # 2.0005^-0.75
        0.594

    Args:
        depth: number of neighbouring channels `n` in the sum; odd.
        bias: the constant `k`.
        alpha: scale of the sum, before the division by `depth`.
        beta: exponent.

    Input shape:
        `(..., f)`, floating point.

    Output shape:
        The same.

    Raises:
        ValueError: if `depth` is even or not positive, or `bias` is not positive.

    Reference:
        Sun et al. 2015, section 2.5 (k = 2, n = 5, alpha = 5e-4, beta = 0.75); the division of
        alpha by n follows Caffe, the framework of the paper.
    """

    def __init__(
        self,
        depth: int = 5,
        bias: float = 2.0,
        alpha: float = 5e-4,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if depth < 1 or depth % 2 == 0:
            raise ValueError(f"`depth` must be odd and positive. Received: depth={depth}")
        if bias <= 0:
            raise ValueError(f"`bias` must be positive. Received: bias={bias}")
        self.depth = depth
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    # a faster form of `call` asks whether gradients will follow
    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Returns the normalised maps, `(..., f)`."""
        channels = np.arange(x.shape[-1])
        band = np.abs(channels[:, None] - channels[None, :]) <= self.depth // 2
        squares = ops.square(ops.cast(x, "float32") if self.compute_dtype == "float16" else x)
        band = ops.convert_to_tensor(self.alpha / self.depth * band, squares.dtype)
        scale = self.bias + ops.cast(ops.matmul(squares, band), "float32")
        return x * ops.cast(inverse_power(ops.rsqrt(scale), self.beta), x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "depth": self.depth,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }


def inverse_power(root: Tensor, beta: float) -> Tensor:
    """Returns `s^-beta` from `root = s^(-1/2)`.

    For the usual exponent it takes one more square root; the gradient of a general power would be
    three times slower.

    Example:
        >>> round(float(inverse_power(ops.array(0.25), 0.75)), 3)  # 16^-0.75
        0.125
    """
    if beta == 0.75:
        return root * ops.sqrt(root)
    return ops.exp(2 * beta * ops.log(root))
