"""Which frame is kept, and how evenly frames are drawn."""

import numpy as np
import pytest

from fstcn_keras.layers import FrameChoice
from tests.contracts import LayerContract, outputs


def numbered_frames(batch: int, l_t: int, dtype: str) -> np.ndarray:
    """Clips whose frame `t` is filled with `t`."""
    return np.broadcast_to(np.arange(l_t, dtype=dtype)[:, None, None, None], (batch, l_t, 2, 2, 3))


class TestContract(LayerContract):
    inputs = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 4, 3), dtype=np.uint8)
    output_shape = (2, 3, 4, 3)

    def make(self, **kwargs):
        return FrameChoice(seed=3, **kwargs)

    def output_dtype(self, layer):
        return "uint8"


@pytest.mark.parametrize(("l_t", "middle"), [(1, 0), (3, 1), (4, 2), (5, 2)])
def test_inference_keeps_the_middle_frame(l_t, middle):
    y = outputs(FrameChoice(), numbered_frames(4, l_t, "uint8"), training=False)
    np.testing.assert_array_equal(y, np.full((4, 2, 2, 3), middle))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_training_draws_each_clips_frame_uniformly(dtype):
    y = outputs(FrameChoice(seed=1), numbered_frames(2000, 5, dtype), training=True)
    assert y.dtype == dtype
    y = y.reshape(2000, -1)
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 12, axis=1))  # whole frames
    counts = np.array([np.sum(y[:, 0] == t) for t in range(5)])
    assert counts.sum() == 2000
    assert np.sum((counts - 400) ** 2 / 400) < 18.5  # chi-square, 4 degrees of freedom: p = 0.001


def test_no_precision_policy_touches_the_pixels():
    x = np.full((2, 3, 1, 1, 1), 1e6, "float32")  # beyond float16
    y = outputs(FrameChoice(dtype="mixed_float16"), x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, x[:, 0])


def test_training_draws_anew_each_time_and_repeats_with_the_seed():
    x = numbered_frames(64, 5, "uint8")
    layer, again = FrameChoice(seed=1), FrameChoice(seed=1)
    first, second = (outputs(layer, x, training=True) for _ in range(2))
    assert np.any(first != second)
    np.testing.assert_array_equal(outputs(again, x, training=True), first)
