"""Pooling against a loop over windows."""

import numpy as np
import pytest

from fstcn_keras.layers import CeilMaxPooling2D
from tests.contracts import LayerContract, normal, outputs


def pool_by_loop(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Windows from the top left on, until the last pixel is seen; what hangs over is cut."""

    def starts(length):
        found = [0]
        while found[-1] + size < length:
            found.append(found[-1] + stride)
        return found

    rows = [
        [x[:, i : i + size, j : j + size].max(axis=(1, 2)) for j in starts(x.shape[2])]
        for i in starts(x.shape[1])
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


class TestContract(LayerContract):
    inputs = normal((2, 6, 8, 3))
    output_shape = (2, 3, 4, 3)

    def make(self, **kwargs):
        return CeilMaxPooling2D(3, 2, **kwargs)


@pytest.mark.parametrize(
    ("size", "stride"), [(3, 2), (3, 3), (2, 2), (2, 1), (3, 1), (4, 3), (5, 2)]
)
@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 5), (8, 9), (12, 6)])
def test_equals_a_loop(height, width, size, stride):
    x = normal((2, height, width, 3)) - 5  # padding with zeros would show
    y = outputs(CeilMaxPooling2D(size, stride), x)
    np.testing.assert_array_equal(y, pool_by_loop(x, size, stride))


@pytest.mark.parametrize("strides", [0, 4])
def test_rejects_strides(strides):
    with pytest.raises(ValueError, match=f"Received: pool_size=3, strides={strides}"):
        CeilMaxPooling2D(3, strides)


def test_rejects_an_input_smaller_than_a_window():
    with pytest.raises(ValueError, match="Received: 2"):
        CeilMaxPooling2D(3, 2)(normal((1, 5, 2, 1)))
