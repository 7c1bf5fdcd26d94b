"""Pixels against hand-worked values."""

import numpy as np
import pytest

from fstcn_keras.layers import PixelNormalization
from tests.contracts import LayerContract, outputs

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)


class TestContract(LayerContract):
    inputs = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    output_shape = (2, 3, 4, 3)

    def make(self, **kwargs):
        return PixelNormalization(MEAN, STD, "bgr", **kwargs)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("mean", "order", "expected"),
    [
        (MEAN, "rgb", [[-5, -5, -3.75], [122.5, 20, 0]]),
        (MEAN, "bgr", [[-3.75, -5, -5], [0, 20, 122.5]]),
        ((0, 0, 0), "rgb", [[0, 0, 0], [127.5, 25, 3.75]]),  # of differences
    ],
)
def test_hand_worked(dtype, mean, order, expected):
    x = np.array([[0, 0, 0], [255, 100, 30]], dtype)
    y = outputs(PixelNormalization(mean, STD, order), x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_the_mean_is_subtracted_before_the_precision_drops():
    layer = PixelNormalization((100, 100, 100), (1, 1, 1), dtype="mixed_float16")
    y = outputs(layer, np.full((1, 3), 100.03, "float32"))  # float16 knows 100 and 100.0625
    np.testing.assert_allclose(y, [[0.03] * 3], rtol=1e-3)


def test_one_layer_takes_images_and_clips():
    layer = PixelNormalization(MEAN, STD, "bgr")
    clips = np.arange(2 * 3 * 4 * 5 * 3, dtype="uint8").reshape(2, 3, 4, 5, 3)
    expected = ((clips - np.array(MEAN)) / np.array(STD))[..., ::-1]
    for part in (np.s_[:2], np.s_[:2, 0], np.s_[:1], np.s_[:1, 0]):
        np.testing.assert_allclose(outputs(layer, clips[part]), expected[part], rtol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mean": (1, 2), "std": STD},
        {"mean": MEAN, "std": (1, 2, 3, 4)},
        {"mean": MEAN, "std": (1, 0, 1)},
        {"mean": MEAN, "std": STD, "channel_order": "gbr"},
    ],
)
def test_rejects(arguments):
    with pytest.raises(ValueError, match="Received"):
        PixelNormalization(**arguments)
