"""A fully connected layer of many weights."""

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch

FEW = 32  # rows of inputs: converting the kernel takes longer than multiplying by it
SOME = 128  # rows of inputs: reading the kernel takes longer than multiplying by it
LARGE = 2**23  # weights that no cache holds
SLICE = 1024  # inputs whose part of a large kernel is multiplied at a time


@keras.saving.register_keras_serializable(package="fstcn_keras")
class LargeDense(keras.layers.Dense):
    """A `Dense` of many weights that is faster on a processor.

    Arguments, weights and numbers are those of `keras.layers.Dense`, rounding apart. For few rows
    of inputs the time is that of moving the kernel through memory. So where TensorFlow runs on a
    processor alone up to `FEW` are multiplied in float32 in mixed precision too, without a copy of
    the kernel in another format. In float32 up to `SOME`, or a number that is not known, take a
    large kernel by slices: TensorFlow rearranges a matrix before it multiplies by it, and a slice
    stays in the cache meanwhile.
    """

    def add_weight(self, *args, **kwargs):
        return super().add_weight(*args, autocast=False, **kwargs)  # `call` knows the format

    def call(self, inputs, training=None):
        dtype = self._dtype_of_product(inputs.shape)
        x, kernel = ops.cast(inputs, dtype), ops.cast(self.kernel, dtype)
        if dtype == "float32" and _suits_slices(x.shape, kernel.shape):
            x = sliced_product(x, kernel, training=training)
        else:
            x = ops.matmul(x, kernel)
        if self.bias is not None:
            x = ops.add(x, ops.cast(self.bias, dtype))
        if self.activation is not None:
            x = self.activation(x)
        return ops.cast(x, self.compute_dtype)

    def _dtype_of_product(self, shape) -> str:
        few = len(shape) == 2 and shape[0] is not None and shape[0] <= FEW
        if few and dispatch.on_processor() and self.compute_dtype != "float64":
            return "float32"
        return self.compute_dtype


def _suits_slices(inputs, kernel) -> bool:
    """Whether matrices of such shapes are multiplied faster by slices, in float32."""
    some = len(inputs) == 2 and (inputs[0] is None or inputs[0] <= SOME)
    large = kernel[0] % SLICE == 0 and kernel[0] * kernel[1] >= LARGE
    return some and large and dispatch.on_processor()


def sliced_product(x, kernel, *, training: bool | None):
    """The product of `(rows, inputs)` and `(inputs, units)`: `x[:, s] @ kernel[s]` over slices `s`.

    Args:
        x: `(rows, inputs)`.
        kernel: `(inputs, units)`, of whole slices.
        training: whether the gradient of the kernel will be asked for. Outside training
            TensorFlow, which keeps every custom gradient, finds its own.

    Returns:
        `(rows, units)`.
    """
    inputs, units = kernel.shape
    slices = inputs // SLICE

    def of_slices(kernel):
        return ops.reshape(kernel, (slices, SLICE, units))

    def product(x, kernel):
        parts = ops.transpose(ops.reshape(x, (-1, slices, SLICE)), (1, 0, 2))
        return ops.sum(ops.matmul(parts, of_slices(kernel)), axis=0)

    if not training:
        return product(x, kernel)

    @ops.custom_gradient
    def product_with_gradient(x, kernel):
        def gradient(*args, upstream=None):
            grads = args[0] if upstream is None else upstream
            parts = ops.matmul(grads[None], ops.transpose(of_slices(kernel), (0, 2, 1)))
            of_x = ops.reshape(ops.transpose(parts, (1, 0, 2)), (-1, inputs))
            return of_x, ops.matmul(ops.transpose(x), grads)

        return product(x, kernel), gradient

    return product_with_gradient(x, kernel)
