"""Plain NumPy loops that layers are compared with."""

import numpy as np


def convolution_by_loop(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """A "valid" convolution of `(b, h, w, c)` by `(size, size, c, f)`, float64 `(b, h', w', f)`."""
    size = len(kernel)
    rows, columns = ((length - size) // stride + 1 for length in x.shape[1:3])
    y = np.empty((len(x), rows, columns, kernel.shape[-1]))
    for i, j in np.ndindex(rows, columns):
        window = x[:, i * stride :, j * stride :][:, :size, :size]
        y[:, i, j] = np.einsum("bijc,ijcf->bf", window.astype("float64"), kernel)
    return y
