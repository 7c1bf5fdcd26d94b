"""Mixed samples against a plain NumPy loop over what the pixels say."""

import numpy as np
import pytest
import tensorflow as tf

from training.mixing import mix

NUM = 6


def mixed(share: float, seed: int):
    """Sample `n` is all of grey level `40 n`, its target the class `n`."""
    clip = (
        np.ones((NUM, 2, 16, 16, 3), np.uint8)
        * (40 * np.arange(NUM, dtype=np.uint8))[:, None, None, None, None]
    )
    inputs = {"clip": tf.constant(clip), "clip_diff": tf.constant(clip)}
    out, targets = mix(inputs, tf.eye(NUM), share=share, seed=tf.constant([0, seed]))
    assert all(image.dtype == tf.uint8 for image in out.values())
    assert [image.shape for image in out.values()] == [clip.shape] * 2
    np.testing.assert_array_equal(out["clip"], out["clip_diff"])
    return clip, out["clip"].numpy(), targets.numpy()


def kind_of(clip: np.ndarray, out: np.ndarray, targets: np.ndarray) -> str:
    """Checks every pixel and target, and says which mixing it was."""
    kinds = set()
    for n in range(NUM):
        own, other = clip[n, 0, 0, 0, 0], clip[NUM - 1 - n, 0, 0, 0, 0]
        weight = targets[n, n]
        assert targets[n].sum() == pytest.approx(1)
        assert targets[n, NUM - 1 - n] == pytest.approx(1 - weight, abs=1e-6)
        values = set(np.unique(out[n]).tolist())
        if values <= {own, other} and len(values) == 2:
            assert (out[n] == own).mean() == pytest.approx(weight, abs=1e-6)
            rows, columns = np.nonzero((out[n, 0, :, :, 0]) == other)
            filled = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert filled == len(rows)  # a rectangle
            assert (out[n] == out[n, :1]).all()  # the same in all frames
            kinds.add("cut")
        else:
            assert len(values) == 1
            expected = weight * own + (1 - weight) * float(other)
            assert abs(values.pop() - expected) <= 0.51
            kinds.add("none" if weight == 1 else "blend")
    return "cut" if "cut" in kinds else "blend" if "blend" in kinds else "none"


def test_pixels_and_targets_are_mixed_by_the_same_shares():
    kinds = [kind_of(*mixed(0.3, seed)) for seed in range(200)]
    assert 0.2 < kinds.count("blend") / 200 < 0.4
    assert 0.2 < kinds.count("cut") / 200 < 0.4


def test_the_same_seed_mixes_alike_and_share_zero_not_at_all():
    for one, two in zip(mixed(0.5, 3), mixed(0.5, 3), strict=True):
        np.testing.assert_array_equal(one, two)
    clip, out, targets = mixed(0.0, 3)
    np.testing.assert_array_equal(clip, out)
    np.testing.assert_array_equal(targets, np.eye(NUM))
