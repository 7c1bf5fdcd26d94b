"""Local response normalisation across feature channels."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="fstcn_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by the energy of its neighbouring feature channels.

    ```
    y[..., i] = x[..., i] / (bias + alpha / depth * sum_{|j - i| <= depth // 2} x[..., j]^2) ^ beta
    ```

    Channels outside the range count as zero. The sum over channels is one matrix product with a
    banded matrix of zeros and ones (a 1x1 convolution); it runs in float32 under every precision
    policy, because squares of activations overflow float16. Its gradient is written out, with `s`
    what is in brackets and `g` the gradient of `y`: that of automatic differentiation takes half
    as long again.

    ```
    g[i] s[i]^-beta - 2 alpha beta / depth x[i] sum_{|j - i| <= depth // 2} g[j] y[j] / s[j]
    ```

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        if depth < 1 or depth % 2 == 0:
            raise ValueError(f"`depth` must be odd and positive. Received: depth={depth}")
        if bias <= 0:
            raise ValueError(f"`bias` must be positive. Received: bias={bias}")
        self.depth = depth
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, x):
        channels = np.arange(x.shape[-1])
        band = np.abs(channels[:, None] - channels[None, :]) <= self.depth // 2
        band = ops.convert_to_tensor(self.alpha / self.depth * band, "float32")

        @ops.custom_gradient
        def normalize(x):
            x32 = ops.cast(x, "float32")
            scale = self.bias + ops.matmul(ops.square(x32), band)
            factor = self._factor(scale)

            def gradient(*arguments, upstream=None):
                up = ops.cast(arguments[0] if upstream is None else upstream, "float32")
                from_scale = ops.matmul(up * x32 * factor / scale, band)
                return ops.cast(up * factor - 2 * self.beta * x32 * from_scale, x.dtype)

            return ops.cast(x32 * factor, x.dtype), gradient

        return normalize(x)

    def _factor(self, scale):
        """`scale ^ -beta`; for the paper's by roots, which take half the time."""
        if self.beta == 0.75:
            root = ops.rsqrt(scale)
            return root * ops.sqrt(root)
        return ops.exp(-self.beta * ops.log(scale))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "depth": self.depth,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
