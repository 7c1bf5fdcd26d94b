"""Multiplies few rows with a large matrix: in float32, and by slices of the matrix.

At few rows the time of a fully-connected layer is that of moving its kernel through memory. Mixed
precision writes it once more, in bfloat16: the layers of `small` and `paper` take 1.49 times as
long that way (`benchmarks/results/layers.csv`, rows "Dense", bfloat16). TensorFlow also rearranges
a matrix before it multiplies by it; a slice of 1,024 rows stays in the cache meanwhile. Without
slices a training step of `paper` takes 1.08 times as long in float32 and 1.11 times in bfloat16
(batch 8, steps in turn, two cores of an Intel Xeon with AMX; TensorFlow 2.21).

Keras hands a layer weights as they are stored only within a model of the same policy, as FSTCN's
parts are.
"""

from typing import Any

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.tensors import Shape, Tensor

MAX_FLOAT32_ROWS = 32  # of inputs: at more, multiplying in bfloat16 wins over converting
MAX_SLICED_ROWS = 128  # of inputs: at more, multiplying takes longer than reading the kernel
MIN_SLICED_WEIGHTS = 2**23  # of a kernel that no cache holds
SLICE_ROWS = 1024  # of a kernel


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` that picks format and slices of the product by the number of rows.

    Example:
        >>> replacements(keras.layers.Dense(4, dtype="float64"))
        {}

    Args:
        layer: of any kind.
    """
    if type(layer) is not keras.layers.Dense or not dispatch.on_processor():
        return {}
    if layer.variable_dtype != "float32":
        return {}

    def call(inputs: Tensor, training: bool | None = None) -> Tensor:
        dtype = _product_dtype(inputs.shape, layer.compute_dtype)
        x, kernel = ops.cast(inputs, dtype), ops.cast(layer.kernel, dtype)
        if dtype == "float32" and suits_slices(x.shape, kernel.shape):
            x = sliced_product(x, kernel, training=training)
        else:
            x = ops.matmul(x, kernel)
        if layer.bias is not None:
            x = ops.add(x, ops.cast(layer.bias, dtype))
        if layer.activation is not None:
            x = layer.activation(x)
        return ops.cast(x, layer.compute_dtype)

    return {"call": call, "autocast": False}  # the weights reach `call` as they are stored


def _product_dtype(shape: Shape, compute_dtype: str) -> str:
    few = len(shape) == 2 and shape[0] is not None and shape[0] <= MAX_FLOAT32_ROWS
    return "float32" if few else compute_dtype


def suits_slices(inputs: Shape, kernel: Shape) -> bool:
    """Whether matrices of such shapes are multiplied faster by slices.

    Example:
        >>> suits_slices((8, 18432), (18432, 4096)), suits_slices((256, 18432), (18432, 4096))
        (True, False)

    Args:
        inputs: shape of the inputs; an unknown number of rows counts as few.
        kernel: shape of the kernel.
    """
    few = len(inputs) == 2 and (inputs[0] is None or inputs[0] <= MAX_SLICED_ROWS)
    return few and kernel[0] % SLICE_ROWS == 0 and kernel[0] * kernel[1] >= MIN_SLICED_WEIGHTS


def sliced_product(x: Tensor, kernel: Tensor, *, training: bool | None) -> Tensor:
    """Multiplies by slices `s` of a kernel: the sum of `x[:, s] @ kernel[s]`.

    Example:
        >>> product = sliced_product(ops.ones((1, 2048)), ops.ones((2048, 1)), training=False)
        >>> float(product[0, 0])
        2048.0

    Args:
        x: `(rows, inputs)`.
        kernel: `(inputs, units)`, of whole slices.
        training: whether the gradient of the kernel will be asked for. Outside training
            TensorFlow, which keeps every custom gradient, finds its own.

    Returns:
        `(rows, units)`.
    """
    inputs, units = kernel.shape
    slices = inputs // SLICE_ROWS

    def product(x: Tensor, kernel: Tensor) -> Tensor:
        parts = ops.transpose(ops.reshape(x, (-1, slices, SLICE_ROWS)), (1, 0, 2))
        kernel_slices = ops.reshape(kernel, (slices, SLICE_ROWS, units))
        return ops.sum(ops.matmul(parts, kernel_slices), axis=0)

    if not training:
        return product(x, kernel)

    @ops.custom_gradient
    def product_with_gradient(x: Tensor, kernel: Tensor) -> tuple[Tensor, Any]:
        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
            grads = args[0] if upstream is None else upstream
            transposed = ops.transpose(ops.reshape(kernel, (slices, SLICE_ROWS, units)), (0, 2, 1))
            parts = ops.matmul(grads[None], transposed)  # (slices, rows, slice)
            x_gradient = ops.reshape(ops.transpose(parts, (1, 0, 2)), (-1, inputs))
            return x_gradient, ops.matmul(ops.transpose(x), grads)

        return product(x, kernel), gradient

    return product_with_gradient(x, kernel)
