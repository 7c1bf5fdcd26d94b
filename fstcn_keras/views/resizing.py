"""Resizes frames by exact arithmetic: the same to the bit in a script and a SavedModel.

The functions take numbers and NumPy arrays, or tensors, on which they make part of a graph.
"""

from fstcn_keras import clips
from fstcn_keras.views.arrays import Array, Length, array_namespace, cast

STEPS = 2048  # weights are multiples of 1 / STEPS: of 11 bits, exact in float32 and TensorFloat-32
HALFWAY = 4  # pixels are multiples of 1 / HALFWAY between the two passes: of 10 bits


def area_weights(length: Length, new_length: Length) -> Array:
    """Computes the shares of the pixels of a line in the pixels of the resized line.

    A new pixel is the mean of the line over a window as wide as the new pixel, or as an old one
    if that is wider: the area average when the line shrinks, linear interpolation when it grows.
    Pixels are squares of constant colour; the outer ones go on beyond the edges. In units of old
    pixels the window of new pixel `i` and the share of it left of edge `j` are

    ```
    ((i + 1/2) length - max(length, new_length) / 2 + [0, max(length, new_length)]) / new_length
    F[i, j] = (2 j new_length - (2 i + 1) length + max) / (2 max), clipped to [0, 1]
    ```

    The weight of pixel `j` is the step of `F` over it, after rounding `F` to 1 / 2048: weights
    are never negative and add up to exactly 1.

    Example:
        >>> area_weights(4, 2)
        array([[0.5, 0.5, 0. , 0. ],
               [0. , 0. , 0.5, 0.5]], dtype=float32)

    Args:
        length: pixels of the line, int or scalar int32 tensor.
        new_length: pixels of the resized line, the same.

    Returns:
        float32 `(new_length, length)`.
    """
    ops = array_namespace(length, new_length)
    widest = ops.maximum(length, new_length)
    edges = ops.arange(1, length)[None, :]
    new_pixels = ops.arange(new_length)[:, None]
    share = ops.clip(2 * edges * new_length - (2 * new_pixels + 1) * length + widest, 0, 2 * widest)
    share = (share * STEPS + widest) // (2 * widest)  # (new_length, length - 1)
    left = ops.pad(share, [(0, 0), (1, 0)])
    right = ops.pad(share, [(0, 0), (0, 1)], constant_values=STEPS)
    return cast(right - left, "float32") / STEPS


def short_side_weights(height: Length, width: Length, short_side: int) -> tuple[Array, Array]:
    """Computes the weights with which `resize` gives frames the short side.

    Both sides become as `clips.resized_length` says.

    Example:
        >>> rows, columns = short_side_weights(240, 320, 120)
        >>> rows.shape, columns.shape
        ((120, 240), (160, 320))

    Args:
        height: height of the frames, pixels, int or scalar int32 tensor.
        width: width of the frames, the same.
        short_side: short side of the resized frames, pixels.

    Returns:
        Two float32 matrices, `(new height, height)` and `(new width, width)`.
    """
    shorter = array_namespace(height, width).minimum(height, width)
    rows, columns = (
        area_weights(length, clips.resized_length(length, shorter, short_side))
        for length in (height, width)
    )
    return rows, columns


def resize(image: Array, rows: Array, columns: Array) -> Array:
    """Resizes an image, down then across, by the weights of its pixels in the new ones.

    Between the passes values are rounded to quarters, after them to whole numbers, halves up.
    Every sum is exact in float32, so its order does not matter: the result is the same to the
    bit on every device and in every graph.

    Example:
        >>> import numpy as np
        >>> image = np.uint8([[[0], [100]], [[0], [100]]])
        >>> resize(image, area_weights(2, 1), area_weights(2, 3))[..., 0]
        array([[  0,  50, 100]], dtype=uint8)

    Args:
        image: `(height, width, channels)` uint8, array or tensor.
        rows: float32 `(new height, height)`, as `area_weights` gives it.
        columns: float32 `(new width, width)`, the same.

    Returns:
        uint8 `(new height, new width, channels)`, the same kind.
    """
    ops = array_namespace(image)
    height, width, channels = ops.shape(image)
    x = ops.reshape(cast(image, "float32"), (height, width * channels))
    x = ops.matmul(rows, x)  # (new height, width * channels)
    x = ops.floor(x * HALFWAY + 0.5) / HALFWAY
    x = ops.reshape(x, (-1, width, channels))
    x = ops.matmul(columns, x)  # (new height, new width, channels)
    return cast(ops.floor(x + 0.5), "uint8")
