"""Convolves with fewer products, by Winograd's minimal filtering (Lavin and Gray 2016).

Along one axis, `m` outputs of a kernel of 3 take `n = m + 2` products instead of `3 m`, between
linear transforms of the inputs, the kernel and the outputs; along two axes `n^2` instead of
`9 m^2`: for `m = 4` 4 times fewer. Here every transform is a product with one small matrix, and
the products for all tiles of all images are `n^2` products of matrices.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from fstcn_keras.tensors import Tensor

TAPS = 3  # of a kernel per stride: what the tiles below are for
MAX_LENGTH = 64  # axis, pixels: the transforms grow with the square of it
MIN_STRIDED_FILTERS = 256  # filters: with strides there are as many more channels to transform
_POINTS = {3: (0, 1, -1, 2), 4: (0, 1, -1, 2, -2)}  # where polynomials are evaluated, per `m`


def suits(lengths: Sequence[int], *, size: int, strides: int, filters: int) -> bool:
    """Tells whether maps of such lengths are convolved faster here.

    A kernel has `TAPS` taps for a phase of the strides, and each phase filters enough.

    Example:
        >>> [suits((12, 12), size=size, strides=1, filters=512) for size in (1, 3)]
        [False, True]
    """
    enough_filters = strides == 1 or filters >= MIN_STRIDED_FILTERS
    return -(-size // strides) == TAPS and max(lengths) <= MAX_LENGTH and enough_filters


def convolution(images: Tensor, kernel: Tensor, *, strides: int, padding: str) -> Tensor:
    """Computes the convolution of `keras.ops.conv`, in float32.

    The phases of the strides, such as odd and even rows, become channels of their own.

    Example:
        >>> images, kernel = ops.ones((1, 8, 8, 4)), ops.ones((3, 3, 4, 2))
        >>> maps = convolution(images, kernel, strides=1, padding="valid")
        >>> tuple(maps.shape), round(float(maps[0, 0, 0, 0]), 3)
        ((1, 6, 6, 2), 36.0)

    Args:
        images: `(batch, h, w, channels)`, static but for the batch.
        kernel: `(size, size, channels, filters)`, of a size that `suits` maps and strides.
        strides: step of the convolution, pixels.
        padding: `"valid"`, or `"same"` for strides of 1.

    Returns:
        `(batch, h', w', filters)`, float32.
    """
    (_, *lengths, channels), filters = images.shape, kernel.shape[-1]
    size = kernel.shape[0]
    rows, columns = (_axis(length, size, strides, padding) for length in lengths)
    points = rows.points * columns.points

    # of every tile, phase and image the values that the kernel is multiplied with
    x = ops.reshape(ops.cast(images, "float32"), (-1, lengths[0], lengths[1] * channels))
    x = ops.reshape(ops.matmul(rows.input_transform, x), (-1, lengths[1], channels))
    x = ops.matmul(columns.input_transform, x)
    x = ops.reshape(x, (-1, *rows.grid, *columns.grid, channels))
    x = ops.transpose(x, (1, 4, 0, 2, 5, 3, 6, 7))  # points, batch and tiles, phases, channels
    x = ops.reshape(x, (points, -1, strides * strides * channels))

    both = np.einsum("ixr,jyc->ijxyrc", rows.kernel_transform, columns.kernel_transform)
    k = ops.reshape(ops.cast(kernel, "float32"), (size * size, channels * filters))
    k = ops.matmul(both.reshape(-1, size * size), k)
    k = ops.reshape(k, (points, strides * strides * channels, filters))

    y = ops.reshape(
        ops.matmul(x, k),
        (rows.points, columns.points, -1, rows.tiles, columns.tiles * filters),
    )
    y = ops.transpose(y, (2, 0, 3, 1, 4))
    y = ops.reshape(y, (-1, columns.points * columns.tiles, filters))
    y = ops.reshape(
        ops.matmul(columns.output_transform, y),
        (-1, rows.points * rows.tiles, columns.outputs * filters),
    )
    return ops.reshape(
        ops.matmul(rows.output_transform, y), (-1, rows.outputs, columns.outputs, filters)
    )


@dataclass(frozen=True)
class _Axis:
    """Holds the transforms along one axis, float32.

    Attributes:
        outputs: length of the axis in the outputs.
        points: `n`.
        tiles: of `m` outputs each, the last one perhaps of fewer.
        strides: phases of the inputs.
        input_transform: `(points * tiles * strides, length)`.
        kernel_transform: `(points, strides, size)`.
        output_transform: `(outputs, points * tiles)`.
    """

    outputs: int
    points: int
    tiles: int
    strides: int
    input_transform: np.ndarray
    kernel_transform: np.ndarray
    output_transform: np.ndarray

    @property
    def grid(self) -> tuple[int, int, int]:
        """Returns what the rows of `input_transform` are."""
        return self.points, self.tiles, self.strides


@functools.lru_cache(maxsize=64)
def _axis(length: int, size: int, strides: int, padding: str) -> _Axis:
    before, after = ((size - 1) // 2, size // 2) if padding == "same" else (0, 0)
    outputs = (length + before + after - size) // strides + 1
    m = min(sorted(_POINTS, reverse=True), key=lambda m: (m + TAPS - 1) * -(-outputs // m))
    tile_matrix, tap_matrix, sum_matrix = minimal_filtering(m)
    n, tiles = len(tile_matrix), -(-outputs // m)

    inputs = np.zeros((n, tiles, strides, length + before + after))
    sums = np.zeros((tiles * m, n, tiles))
    for tile in range(tiles):
        first = tile * m * strides
        for phase in range(strides):
            seen = inputs[:, tile, phase, first + phase :: strides][:, :n]
            seen[...] = tile_matrix[:, : seen.shape[1]]  # beyond the edge no output needs them
        sums[tile * m : (tile + 1) * m, :, tile] = sum_matrix
    kernel = np.zeros((n, strides, size))
    for phase in range(strides):
        taps = kernel[:, phase, phase::strides]
        taps[...] = tap_matrix[:, : taps.shape[1]]
    return _Axis(
        outputs=outputs,
        points=n,
        tiles=tiles,
        strides=strides,
        input_transform=_float32(inputs[..., before : before + length].reshape(-1, length)),
        kernel_transform=_float32(kernel),
        output_transform=_float32(sums[:outputs].reshape(outputs, -1)),
    )


def minimal_filtering(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices of `A^T ((G g) * (B^T d))`: `B^T`, `G` and `A^T`.

    Their shapes are `(n, n)`, `(n, 3)` and `(m, n)`. It is the transposed algorithm of Toom and
    Cook: polynomials are multiplied by their values at `n - 1` points and at infinity, which
    are the rows of Vandermonde matrices.

    Example:
        >>> inputs, kernel, outputs = minimal_filtering(4)
        >>> products = (kernel @ [1, 0, -1]) * (inputs @ [0, 1, 2, 3, 4, 5])
        >>> (outputs @ products).round(6)  # d[i] - d[i + 2]
        array([-2., -2., -2., -2.])
    """

    def values(degree: int) -> np.ndarray:
        finite = np.vander(np.array(_POINTS[m], "float64"), degree, increasing=True)
        return np.concatenate([finite, np.eye(degree)[-1:]])

    n = m + TAPS - 1
    return np.linalg.inv(values(n)).T, values(TAPS), values(m).T


def _float32(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix, "float32")
