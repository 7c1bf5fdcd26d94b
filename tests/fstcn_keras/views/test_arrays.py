"""One arithmetic: what a graph computes from tensors against what NumPy computes.

What NumPy computes is held against closed forms in the tests of each module.
"""

import keras
import numpy as np
import pytest

from fstcn_keras import ViewPlan, clips, fusion
from fstcn_keras.views.arrays import array_namespace
from fstcn_keras.views.resizing import area_weights, resize, short_side_weights
from tests.fstcn_keras.test_clips import TIMINGS
from tests.test_imports import printed

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("tensors of TensorFlow need Keras on it", allow_module_level=True)

NUMBER = tf.TensorSpec((), tf.int32)
IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return generator().integers(0, 256, shape, dtype=np.uint8)


def in_graph(function, *signature: tf.TensorSpec):
    return tf.function(function, input_signature=signature)


@pytest.mark.parametrize("timing", [*TIMINGS, TIMINGS[0] | {"sampling": "sparse"}])
@pytest.mark.parametrize("num_clips", [1, 2, 5, 7])
def test_frame_numbers(timing, num_clips):
    plan = ViewPlan(num_clips=num_clips, short_side=8, crop_size=6, **timing)

    def drawn(num_frames):
        starts = plan.start_frames(num_frames)
        one = clips.pair_indices(starts[-1], num_frames, **timing)
        fixed = clips.pair_indices([0, 3], num_frames, **timing)
        return starts, plan.pairs_from(starts, num_frames), one, fixed

    drawn = in_graph(drawn, NUMBER)
    for num_frames in [*range(1, 60), *generator().integers(60, 10**6, 60).tolist()]:
        starts, pairs, one, fixed = drawn(num_frames)
        assert {x.dtype for x in (starts, pairs, one, fixed)} == {tf.int32}
        np.testing.assert_array_equal(starts, clips.start_frames(num_frames, num_clips, **timing))
        np.testing.assert_array_equal(pairs, plan.pair_indices(num_frames))
        np.testing.assert_array_equal(one, pairs[-1])
        np.testing.assert_array_equal(fixed, clips.pair_indices([0, 3], num_frames, **timing))


@pytest.mark.parametrize(("height", "width"), [(84, 132), (68, 90), (101, 68)])
def test_crops_of_maps(height, width):
    @tf.function(input_signature=[tf.TensorSpec((2, None, None, 5)), NUMBER, NUMBER])
    def cut(maps, height, width):
        return clips.map_crops(maps, clips.crop_grid(height, width, 68), (3, 2))

    for rows, columns in [(3, 2), (4, 7), (5, 8), (9, 3)]:
        maps = generator().standard_normal((2, rows, columns, 5), np.float32)
        expected = clips.map_crops(maps, clips.crop_grid(height, width, 68), (3, 2))
        found = cut(maps, height, width)
        np.testing.assert_array_equal(found, expected)
        corners = clips.crop_grid(height, width, 68)  # known before the maps
        np.testing.assert_array_equal(clips.map_crops(tf.constant(maps), corners, (3, 2)), expected)


def test_resizing():
    def resized(image):
        height, width, _ = tf.unstack(tf.shape(image))
        return resize(image, *short_side_weights(height, width, 24))

    resized = in_graph(resized, IMAGE)
    weights = in_graph(area_weights, NUMBER, NUMBER)
    for height, width in [(24, 31), (48, 64), (30, 7), (1, 1), (359, 641)]:
        image = images(height, width, 3)
        expected = resize(image, *short_side_weights(height, width, 24))
        np.testing.assert_array_equal(resized(image), expected)
        np.testing.assert_array_equal(weights(height, width), area_weights(height, width))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num_classes", [1, 2, 21])
def test_fusion(dtype, num_classes):
    p = generator().dirichlet(np.full(num_classes, 0.3), (20, 3, 18)).astype(dtype)
    p[0, 1] = 1 / num_classes  # crops that all say nothing
    p[1, 2, :5] = 0
    tolerance = {"float32": 1e-6, "float64": 1e-15}[dtype]
    functions = {"sci": fusion.sci, "crops": fusion.fuse_crops}
    functions |= {m: lambda p, m=m: fusion.fuse(p, m) for m in fusion.METHODS}
    for function in functions.values():
        for shape in (p.shape, (None, *p.shape[1:])):
            found = in_graph(function, tf.TensorSpec(shape, dtype))(p)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, function(p), rtol=0, atol=tolerance)


def test_numbers_and_arrays_are_numpys_and_need_no_keras():
    code = """
import sys, numpy as np
from fstcn_keras import clips, fusion
from fstcn_keras.config import FSTCNConfig
from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.sources import ArrayFrames
from fstcn_keras.views.plan import ViewPlan
plan = ViewPlan.from_config(FSTCNConfig(short_side=24, crop_size=16))
video = view_frames(ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8)), plan)
plan.cut(*video.frames[video.positions[0]])
clips.map_crops(np.zeros((2, 4, 7, 3)), clips.crop_grid(84, 132, 68), (3, 3))
fusion.fuse([[[0.5, 0.5]]])
print(*({'keras', 'tensorflow', 'jax'} & sys.modules.keys()))
"""
    assert printed(code, FSTCN_KERAS_LAZY="1") == []


def test_one_tensor_makes_the_namespace_that_of_tensors():
    assert array_namespace(1, 2.0, np.zeros(2), np.int64(3), [1], (2,)) is np
    assert array_namespace(1, tf.constant(2)) is keras.ops
    assert array_namespace(tf.constant(2)) is keras.ops
