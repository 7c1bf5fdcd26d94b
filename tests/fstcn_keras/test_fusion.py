"""Score fusion against the equations of section 2.4."""

import numpy as np
import pytest

from fstcn_keras import fusion
from tests import equations


def dirichlet(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(shape[-1]), shape[:-1])


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([0.7, 0.1, 0.1, 0.1], 0.6),  # (4 * 0.7 - 1) / 3
        ([7, 1, 1, 1], 0.6),
        ([0.5, 0.5, 0, 0], 1 / 3),
        ([0.25, 0.75], 0.5),
        ([0.25, 0.25, 0.25, 0.25], 0),
        ([0, 0, 1], 1),
        ([1], 1),
        ([0, 0, 0], 0),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sci_hand_worked(probabilities, expected, dtype):
    assert fusion.sci(np.array(probabilities, dtype)) == pytest.approx(expected, abs=1e-6)


def test_sci_of_every_vector_along_the_last_axis():
    p = dirichlet(2, 3, 7)
    expected = [[equations.sci(vector) for vector in row] for row in p.tolist()]
    np.testing.assert_allclose(fusion.sci(p), expected, rtol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 21, 51, 101])
def test_sci_stays_between_0_and_1_whatever_float32_sums_to(num_classes):
    uniform = np.full(num_classes, 1 / num_classes, "float32") * np.linspace(0.9, 1.1, 500)[:, None]
    certain = np.zeros((500, num_classes), "float32")
    certain[:, 1] = np.linspace(0.999, 1.001, 500)
    for p, expected in ((uniform.astype("float32"), 0), (certain, 1)):
        found = fusion.sci(p)
        assert found.min() >= 0
        assert found.max() <= 1
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_sci_rejects(wrong):
    with pytest.raises(ValueError, match="finite and not negative"):
        fusion.sci(np.array([0.5, wrong]))


@pytest.mark.parametrize("shape", [(5, 18, 21), (1, 4, 2), (3, 1, 6)])
def test_fuse_equals_the_equations(shape):
    p = dirichlet(*shape)
    expected = equations.video_scores(p)
    np.testing.assert_allclose(fusion.fuse(p), expected, rtol=1e-12)
    np.testing.assert_allclose(fusion.fuse(p.astype("float32"), "sci"), expected, rtol=1e-4)


def test_fuse_hand_worked():
    first = [[1, 0], [0.5, 0.5]]  # SCI 1 and 0: the first crop alone counts
    second = [[0.25, 0.75], [0, 1]]  # SCI 1/2 and 1: (1/12, 11/12)
    np.testing.assert_allclose(fusion.fuse(np.array([first, second])), [1, 11 / 12])


def test_a_clip_whose_crops_all_have_sci_zero_takes_their_mean():
    nothing_known = [[0.25] * 4, [0.125] * 4, [0] * 4]
    np.testing.assert_allclose(fusion.fuse(np.array([nothing_known])), [0.125] * 4)
    both = np.array([nothing_known, [[0, 1, 0, 0]] * 3])
    np.testing.assert_allclose(fusion.fuse(both), [0.125, 1, 0.125, 0.125])


def test_average_is_the_mean_over_all_views():
    p = dirichlet(3, 4, 5)
    expected = [sum(p[m, c, n] for m in range(3) for c in range(4)) / 12 for n in range(5)]
    np.testing.assert_allclose(fusion.fuse(p, "average"), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("num_clips", "num_crops", "middle", "centre"),
    [(5, 18, 2, 4), (1, 9, 0, 4), (3, 1, 1, 0), (2, 4, 1, 0), (4, 5, 2, 4)],
)
def test_single_is_the_centre_crop_of_the_middle_clip(num_clips, num_crops, middle, centre):
    p = dirichlet(num_clips, num_crops, 3)
    np.testing.assert_array_equal(fusion.fuse(p, "single"), p[middle, centre])


@pytest.mark.parametrize("method", ["sci", "average", "single"])
def test_leading_axes_are_videos(method):
    p = dirichlet(2, 3, 5, 9, 4)
    found = fusion.fuse(p, method)
    assert found.shape == (2, 3, 4)
    for video in np.ndindex(2, 3):
        np.testing.assert_allclose(found[video], fusion.fuse(p[video], method))


def test_fuse_rejects():
    with pytest.raises(ValueError, match="Received: method='median'"):
        fusion.fuse(dirichlet(2, 3, 4), "median")
    with pytest.raises(ValueError, match=r"Received shape: \(3, 4\)"):
        fusion.fuse(dirichlet(3, 4))
