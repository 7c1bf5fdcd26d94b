"""Normalises local responses in one compiled pass over the maps.

A training step of the backbone with the plain layer, a product with a banded matrix, takes 1.23 to
1.33 times as long in float32 and 1.66 to 1.85 times in bfloat16 (`benchmarks/results/layers.csv`,
rows "LRN, banded").
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.layers import LocalResponseNormalization
from fstcn_keras.layers.local_response_normalization import inverse_power
from fstcn_keras.tensors import Tensor


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` of `ResponseNormalization` where maps can be compiled for.

    Example:
        >>> replacements(keras.layers.LayerNormalization())
        {}
    """
    if not isinstance(layer, LocalResponseNormalization):
        return {}
    plain = type(layer).call.__get__(layer)
    compiled = ResponseNormalization(
        depth=layer.depth, bias=layer.bias, alpha=layer.alpha, beta=layer.beta
    )

    def call(x: Tensor, training: bool | None = None) -> Tensor:
        if not dispatch.may_compile(x.shape):
            return plain(x, training=training)
        return compiled(x, training=bool(training))

    return {"call": call}


class ResponseNormalization:
    """Computes the layer `LocalResponseNormalization` in few passes over the maps.

    With `s = bias + alpha / depth * sum x^2`, `y = x s^-beta` and the gradient `g` of `y`, that of
    `x` is

    ```
    g s^-beta - 2 beta alpha / depth x sum(g y / s)
    ```

    both sums over neighbouring channels. Computes in float32; for the gradient `s^(-1/2)` is kept
    in the format of `x`.

    Example:
        >>> normalize = ResponseNormalization(depth=5, bias=2.0, alpha=5e-4, beta=0.75)
        >>> x = ops.ones((1, 1, 1, 5))
        >>> round(float(normalize(x, training=True)[0, 0, 0, 2]), 3)  # 2.0005^-0.75
        0.594

    Args:
        depth, bias, alpha, beta: as those of the layer.
    """

    def __init__(self, *, depth: int, bias: float, alpha: float, beta: float) -> None:
        self.depth = depth
        self.bias = bias
        self.share = alpha / depth
        self.beta = beta
        self._outputs = dispatch.compiled(self._lrn)
        self._outputs_and_root = dispatch.compiled(self._lrn_and_root)
        self._gradient = dispatch.compiled(self._lrn_gradient)

    def __call__(self, x: Tensor, *, training: bool) -> Tensor:
        """Computes `y`.

        Outside training TensorFlow, which keeps every custom gradient, finds its own.
        """
        if not (training or dispatch.under_jax()):
            return self._outputs(x)

        @ops.custom_gradient
        def normalize(x: Tensor) -> tuple[Tensor, Callable]:
            outputs, root = self._outputs_and_root(x)

            def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
                grads = args[0] if upstream is None else upstream
                return self._gradient(x, outputs, root, grads)

            return outputs, gradient

        return normalize(x)

    def _lrn(self, x: Tensor) -> Tensor:
        return self._lrn_and_root(x)[0]

    def _lrn_and_root(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (values,) = _float32(x)
        root = ops.rsqrt(self.bias + self.share * self._sum(ops.square(values)))
        return cast(values * inverse_power(root, self.beta), x.dtype), cast(root, x.dtype)

    def _lrn_gradient(self, x: Tensor, outputs: Tensor, root: Tensor, grads: Tensor) -> Tensor:
        values, y, root, g = _float32(x, outputs, root, grads)
        spread = self._sum(g * y * ops.square(root))
        own = g * inverse_power(root, self.beta)
        return ops.cast(own - 2 * self.beta * self.share * values * spread, x.dtype)

    def _sum(self, x: Tensor) -> Tensor:
        """Adds up neighbouring channels."""
        half, channels = self.depth // 2, x.shape[-1]
        padded = ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(half, half)])
        return sum(padded[..., first : first + channels] for first in range(self.depth))


def _float32(*maps: Tensor) -> list[Tensor]:
    return [ops.cast(x, "float32") for x in maps]


def cast(x: Tensor, dtype: str) -> Tensor:
    """Converts float32 as `ops.cast` does, in a program that XLA compiles.

    On a processor XLA rounds to bfloat16 number by number; what is added here to the bits that are
    cut off, a half less one and the last bit that stays, rounds many at once, to the nearest and
    of two to the even one as well.

    Example:
        >>> float(cast(ops.array(1.01), "bfloat16"))  # eight bits are kept
        1.0078125
    """
    if keras.backend.backend() != "tensorflow" or dtype != "bfloat16":
        return ops.cast(x, dtype)

    @ops.custom_gradient
    def rounded(x: Tensor) -> tuple[Tensor, Callable]:
        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            return ops.cast(args[0] if upstream is None else upstream, x.dtype)

        bits = ops.view(x, "uint32")
        one, half, length = (ops.cast(n, "uint32") for n in (1, 2**15, 16))
        last = ops.bitwise_and(ops.right_shift(bits, length), one)
        high = ops.right_shift(bits + (half - one) + last, length)
        return ops.view(ops.cast(high, "uint16"), dtype), gradient

    return rounded(x)
