"""Operations made of what XLA fuses.

On a GPU XLA computes the gradient of a maximum pooling by a scatter, the sum of the LRN by a
product of its own, and convolutions of three channels without the matrix units; each costs several
passes over the largest maps of the network. TensorFlow on a processor uses the LRN alone.
"""

import keras
from keras import ops

from fstcn_keras.acceleration import dispatch


def max_pool(x, size: int, strides: int):
    """Maximum over square windows that lie within the maps, with the gradient to the first one.

    Args:
        x: `(batch, h, w, f)`, static but for the batch.
        size: side of the windows, pixels.
        strides: step between windows, pixels; at most `size`.

    Returns:
        `(batch, (h - size) // strides + 1, (w - size) // strides + 1, f)`.
    """
    height, width = x.shape[1:3]

    @ops.custom_gradient
    def pool(x):
        maxima, places = _maxima(x, size, strides)

        def gradient(*args, upstream=None):
            grads = args[0] if upstream is None else upstream
            blocks = -(-height // strides), -(-width // strides)
            whole = _of_maxima(grads, places, size, strides, blocks)
            return whole[:, :height, :width]

        return maxima, gradient

    return pool(x)


def _maxima(x, size: int, strides: int):
    """Maximum of every window, and its place `row * size + column` in it."""
    dtype = "int8" if size * size <= 128 else "int32"
    maxima = places = None
    rows, columns = ((length - size) // strides * strides + 1 for length in x.shape[1:3])
    for row in range(size):
        for column in range(size):
            part = x[:, row : row + rows : strides, column : column + columns : strides]
            if maxima is None:
                maxima, places = part, ops.zeros_like(part, dtype=dtype)
            else:
                place = ops.cast(row * size + column, dtype)
                places = ops.where(part > maxima, place, places)
                maxima = ops.maximum(maxima, part)  # hands NaN on
    return maxima, places


def _of_maxima(grads, places, size: int, strides: int, blocks: tuple[int, int]):
    """Gradient of the inputs of `_maxima`, `(batch, blocks * strides, ..., f)`.

    Inputs at one place of a block of `strides x strides` belong to the same windows, those of the
    blocks before: each place is a sum of a few shifted maps, and the places are woven together.
    """
    before = (size - 1) // strides
    edges = [(0, 0), *((before, n - m) for n, m in zip(blocks, grads.shape[1:3], strict=True))]
    grads = ops.pad(grads, [*edges, (0, 0)])
    places = ops.pad(places, [*edges, (0, 0)], constant_values=-1)

    def of_place(top: int, left: int):
        total = ops.zeros((), grads.dtype)
        for row in range(top, size, strides):
            for column in range(left, size, strides):
                first = before - row // strides, before - column // strides
                window = (
                    slice(None),
                    *(slice(i, i + n) for i, n in zip(first, blocks, strict=True)),
                )
                here = places[window] == row * size + column
                total += ops.where(here, grads[window], ops.zeros((), grads.dtype))
        return total

    batch, (high, wide), features = -1, blocks, grads.shape[-1]
    rows = [
        ops.reshape(
            ops.stack([of_place(top, left) for left in range(strides)], axis=3),
            (batch, high, wide * strides, features),
        )
        for top in range(strides)
    ]
    return ops.reshape(ops.stack(rows, axis=2), (batch, high * strides, wide * strides, features))


class ResponseNormalization:
    """The computation of the layer `LocalResponseNormalization` in few passes over the maps.

    With `s = bias + alpha / depth * sum x^2`, `y = x s^-beta` and the gradient `g` of `y`, that of
    `x` is

    ```
    g s^-beta - 2 beta alpha / depth x sum(g y / s)
    ```

    both sums over neighbouring channels. Computes in float32; for the gradient `s^(-1/2)` is kept
    in the format of `x`.

    Args:
        depth, bias, alpha, beta: as those of the layer.
    """

    def __init__(self, *, depth: int, bias: float, alpha: float, beta: float):
        self.depth = depth
        self.bias = bias
        self.share = alpha / depth
        self.beta = beta
        self._outputs = dispatch.compiled(self._lrn)
        self._outputs_and_root = dispatch.compiled(self._lrn_and_root)
        self._gradient = dispatch.compiled(self._lrn_gradient)

    def __call__(self, x, *, training: bool):
        """`y`; outside training TensorFlow, which keeps every custom gradient, finds its own."""
        if not (training or dispatch.under_jax()):
            return self._outputs(x)

        @ops.custom_gradient
        def normalize(x):
            outputs, root = self._outputs_and_root(x)

            def gradient(*args, upstream=None):
                grads = args[0] if upstream is None else upstream
                return self._gradient(x, outputs, root, grads)

            return outputs, gradient

        return normalize(x)

    def _lrn(self, x):
        return self._lrn_and_root(x)[0]

    def _lrn_and_root(self, x):
        (values,) = _float32(x)
        root = ops.rsqrt(self.bias + self.share * self._sum(ops.square(values)))
        return cast(values * power(root, self.beta), x.dtype), cast(root, x.dtype)

    def _lrn_gradient(self, x, outputs, root, grads):
        values, y, root, g = _float32(x, outputs, root, grads)
        spread = self._sum(g * y * ops.square(root))
        own = g * power(root, self.beta)
        return ops.cast(own - 2 * self.beta * self.share * values * spread, x.dtype)

    def _sum(self, x):
        """Over neighbouring channels."""
        half, channels = self.depth // 2, x.shape[-1]
        padded = ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(half, half)])
        return sum(padded[..., first : first + channels] for first in range(self.depth))


def power(root, beta: float):
    """`s^-beta` from `s^(-1/2)`; the gradient of a general power would be three times slower."""
    if beta == 0.75:
        return root * ops.sqrt(root)
    return ops.exp(2 * beta * ops.log(root))


def _float32(*maps):
    return [ops.cast(x, "float32") for x in maps]


def cast(x, dtype):
    """`ops.cast` of float32, in a program that XLA compiles.

    On a processor XLA rounds to bfloat16 number by number; what is added here to the bits that are
    cut off, a half less one and the last bit that stays, rounds many at once, to the nearest and
    of two to the even one as well.
    """
    if keras.backend.backend() != "tensorflow" or dtype != "bfloat16":
        return ops.cast(x, dtype)

    @ops.custom_gradient
    def rounded(x):
        def gradient(*args, upstream=None):
            return ops.cast(args[0] if upstream is None else upstream, x.dtype)

        bits = ops.view(x, "uint32")
        one, half, length = (ops.cast(n, "uint32") for n in (1, 2**15, 16))
        last = ops.bitwise_and(ops.right_shift(bits, length), one)
        high = ops.right_shift(bits + (half - one) + last, length)
        return ops.view(ops.cast(high, "uint16"), dtype), gradient

    return rounded(x)


def strided_convolution(images, kernel, strides: int):
    """A "valid" convolution whose strides are folded into channels.

    Blocks of `strides x strides` pixels become one pixel of `strides^2` times the channels, filled
    up with zeros to a multiple of 8, and the kernel likewise; the strides become 1.

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
