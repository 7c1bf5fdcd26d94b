"""Gradients of class scores: against finite differences, closed forms and NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

from analysis.attribution import COMPLETENESS, METHODS, ClipNetwork
from fstcn_keras import FSTCN, FSTCNConfig, clips
from fstcn_keras.layers import FrameChoice, PixelNormalization, TemporalConvolution
from fstcn_keras.parts import LOGITS
from tests.networks import with_clear_answers

SIZE, LENGTH = 64, 3
VIEWS = {"short_side": 72, "crop_size": SIZE, "clip_length": LENGTH}
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 55.0, 60.0)


def tiny_fstcn(**overrides) -> FSTCN:
    """FSTCN of few units, whose logits are large enough for finite differences in float32."""
    keras.utils.set_random_seed(0)
    sizes = {**VIEWS, "width": 0.1, "path_units": (16, 8), "joint_units": 8}
    return with_clear_answers(FSTCN(num_classes=4, preset="small", **sizes, **overrides))


def random_clip(*, height: int = 72, width: int = 90) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    shapes = {"frame": (1, height, width, 3), "differences": (LENGTH, height, width, 3)}
    return {
        part: np.float32(generator.integers(0, 256, shape, dtype=np.uint8))
        for part, shape in shapes.items()
    }


class Perceptron(keras.Model):
    """A network with the parts of FSTCN's spatial path: fully-connected layers on 2x2 pixels.

    Its ReLUs are in them, in layers of their own, or in a TCL with kernels of 1x1 in their place.
    """

    config = FSTCNConfig(paths=("spatial",), crop_size=2, short_side=2, clip_length=LENGTH)
    difference_encoder = None

    def __init__(self, *, sizes, activation="relu", relus="dense", name=None, **_):
        clip = keras.Input((LENGTH, 2, 2, 3), dtype="uint8", name="clip")
        pixels = keras.Input((None, None, 3), dtype="uint8")
        frame_encoder = keras.Sequential([pixels, PixelNormalization(MEAN, STD)])
        maps = keras.Input((2, 2, 3), name="frame")
        x = layers.Flatten()(maps)
        for units in sizes[:-1]:
            if relus == "tcl":
                tcl = TemporalConvolution(units, kernel_sizes=(1,), dropout=0.0)
                x = layers.Flatten()(tcl(layers.Reshape((1, 1, -1))(x)))
                continue
            inside = activation if relus == "dense" else None
            x = layers.Dense(units, activation=inside, use_bias=False)(x)
            most = 6.0 if activation == "relu6" else None
            x = layers.ReLU(max_value=most)(x) if relus == "layers" else x
        x = layers.Dense(sizes[-1], use_bias=False)(x)
        head = keras.Model({"frame": maps}, {LOGITS: x})
        outputs = head({"frame": frame_encoder(FrameChoice()(clip))})[LOGITS]
        super().__init__(inputs={"clip": clip}, outputs=outputs, name=name)
        self.frame_encoder = frame_encoder
        self.head = head
        self._arguments = {"sizes": sizes, "activation": activation, "relus": relus}

    def get_config(self):
        return {"name": self.name, **self._arguments}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def perceptron(*sizes: int, **arguments) -> tuple[Perceptron, list[np.ndarray]]:
    """A network with random kernels, no biases, and its kernels."""
    model = Perceptron(sizes=sizes, **arguments)
    generator = np.random.default_rng(2)
    model.set_weights(
        [generator.standard_normal(w.shape) * (w.ndim > 1) for w in model.get_weights()]
    )
    return model, [w.reshape(w.shape[-2:]) for w in model.get_weights() if w.ndim > 1]


def pixels() -> dict[str, np.ndarray]:
    return {"frame": np.float32(np.random.default_rng(3).integers(0, 256, (1, 2, 2, 3)))}


def test_probabilities_are_those_of_the_model_over_the_nine_crops():
    model, clip = tiny_fstcn(), random_clip()
    frames = np.repeat(np.uint8(clip["frame"]), LENGTH, axis=0)
    views = {
        "clip": clips.crops(frames, SIZE)[:9],
        "clip_diff": clips.crops(np.uint8(clip["differences"]), SIZE)[:9],
    }
    expected = model.predict_on_batch(views).mean(axis=0)
    np.testing.assert_allclose(ClipNetwork(model).probabilities(clip), expected, atol=1e-5)


@pytest.mark.parametrize("part", ["frame", "differences"])
def test_gradients_agree_with_finite_differences(part):
    network, clip, step = ClipNetwork(tiny_fstcn()), random_clip(), 0.25
    gradient = network.gradient(clip, 2)[part]
    for position in np.argsort(-np.abs(gradient), axis=None)[[0, 1, 5, 20, 100]]:
        index = np.unravel_index(position, gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = {name: x.copy() for name, x in clip.items()}
            moved[part][index] += sign * step
            ends.append(network.score(moved, 2))
        assert gradient[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.03)


def test_the_gradient_of_a_linear_score():
    model, [kernel] = perceptron(3)
    network = ClipNetwork(model)
    expected = kernel[:, 1].reshape(1, 2, 2, 3) / STD
    np.testing.assert_allclose(network.gradient(pixels(), 1)["frame"], expected, rtol=1e-5)
    largest = np.abs(expected).max(axis=-1)
    for method in ("gradient", "guided", "smoothgrad"):
        maps = METHODS[method](network, pixels(), label=1).maps
        np.testing.assert_allclose(maps["frame"], largest, rtol=1e-4)


@pytest.mark.parametrize("relus", ["dense", "layers", "tcl"])
def test_guided_back_propagation_drops_negative_signals_at_every_relu(relus):
    model, kernels = perceptron(16, 12, 3, relus=relus)
    x = (pixels()["frame"].reshape(1, 4, 3) - MEAN) / STD
    hidden = [x.reshape(-1)]
    for kernel in kernels[:-1]:
        hidden.append(np.maximum(hidden[-1] @ kernel, 0))
    signal = kernels[2][:, 0]
    for kernel, values in zip(kernels[1::-1], hidden[:0:-1], strict=True):
        signal = kernel @ np.where((values > 0) & (signal > 0), signal, 0)
    expected = signal.reshape(1, 2, 2, 3) / STD
    assert np.abs(expected).min() > 0
    guided = ClipNetwork(model, guided=True).gradient(pixels(), 0)["frame"]
    np.testing.assert_allclose(guided, expected, rtol=1e-4)
    assert not np.allclose(ClipNetwork(model).gradient(pixels(), 0)["frame"], expected, rtol=0.1)


@pytest.mark.parametrize("relus", ["dense", "layers"])
def test_guided_back_propagation_drops_them_at_relu6_too(relus):
    """Which the backbones of preset `lite` have, and which is flat from 6 on."""
    model, kernels = perceptron(16, 12, 3, activation="relu6", relus=relus)
    inputs = [((pixels()["frame"].reshape(1, 4, 3) - MEAN) / STD).reshape(-1)]
    before = []
    for kernel in kernels[:-1]:
        before.append(inputs[-1] @ kernel)
        inputs.append(np.clip(before[-1], 0, 6))
    assert all((one < 0).any() and (one > 6).any() for one in before)
    signal = kernels[2][:, 0]
    for kernel, values in zip(kernels[1::-1], before[::-1], strict=True):
        signal = kernel @ np.where((values > 0) & (values < 6) & (signal > 0), signal, 0)
    expected = signal.reshape(1, 2, 2, 3) / STD
    assert np.abs(expected).max() > 0
    guided = ClipNetwork(model, guided=True).gradient(pixels(), 0)["frame"]
    np.testing.assert_allclose(guided, expected, rtol=1e-4, atol=1e-7)


def test_guiding_changes_neither_the_scores_nor_the_given_network():
    model, clip = tiny_fstcn(), random_clip()
    before = ClipNetwork(model).gradient(clip, 0)
    guided = ClipNetwork(model, guided=True)
    assert not np.allclose(guided.gradient(clip, 0)["frame"], before["frame"], rtol=0.1)
    assert guided.score(clip, 0) == pytest.approx(ClipNetwork(model).score(clip, 0))
    np.testing.assert_array_equal(ClipNetwork(model).gradient(clip, 0)["frame"], before["frame"])


def test_smoothgrad_sees_half_of_a_unit_at_its_kink():
    """With noise around its kink a ReLU is active in half of the copies."""
    model, _ = perceptron(1, 1)
    kernel = np.random.default_rng(4).standard_normal((12, 1))
    x = ((pixels()["frame"].reshape(4, 3) - MEAN) / STD).reshape(-1)
    kernel -= (x @ kernel)[0] / (x @ x) * x[:, None]  # now x @ kernel is 0
    model.set_weights([kernel, np.ones((1, 1))])
    settings = {"samples": 400, "noise": 0.2}
    found = METHODS["smoothgrad"](ClipNetwork(model), pixels(), label=0, **settings).maps
    expected = np.abs(0.5 * kernel.reshape(1, 2, 2, 3) / STD).max(axis=-1)
    np.testing.assert_allclose(found["frame"], expected, rtol=0.15)


def test_integrated_gradients_of_a_linear_score():
    model, [kernel] = perceptron(3)
    found = METHODS["integrated_gradients"](ClipNetwork(model), pixels(), label=1)
    credit = (pixels()["frame"] - MEAN) * kernel[:, 1].reshape(1, 2, 2, 3) / STD
    np.testing.assert_allclose(found.maps["frame"], np.abs(credit.sum(axis=-1)), rtol=1e-3)
    assert found.completeness.attributed == pytest.approx(credit.sum(), rel=1e-4)
    assert found.completeness.difference == pytest.approx(credit.sum(), rel=1e-4)


def test_integrated_gradients_explain_the_whole_score():
    network, clip = ClipNetwork(tiny_fstcn()), random_clip()
    found = METHODS["integrated_gradients"](network, clip, label=3).completeness
    mean = np.float32([123.675, 116.28, 103.53])  # of ImageNet, where normalised pixels are 0
    empty = {
        "frame": np.broadcast_to(mean, clip["frame"].shape),
        "differences": np.zeros_like(clip["differences"]),
    }
    expected = network.score(clip, 3) - network.score(empty, 3)
    assert found.difference == pytest.approx(expected, rel=1e-5)
    assert found.attributed == pytest.approx(expected, rel=COMPLETENESS)


def test_a_network_of_any_precision_is_explained_in_float32():
    model, clip = tiny_fstcn(), random_clip()
    half = tiny_fstcn(dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    expected = ClipNetwork(model).gradient(clip, 1)
    found = ClipNetwork(half).gradient(clip, 1)
    for part in clip:
        np.testing.assert_array_equal(found[part], expected[part])


def test_random_weights_depend_on_their_seed_alone():
    clip, network = random_clip(), ClipNetwork(tiny_fstcn())
    scores = [network.score(clip, 0)]
    for seed in (5, 6, 5):
        network.randomise(seed)
        scores.append(network.score(clip, 0))
    assert scores[1] == scores[3]
    assert len(set(scores)) == 3


def test_random_weights_are_not_those_that_training_began_with():
    keras.utils.set_random_seed(5)
    clip, sizes = random_clip(), {**VIEWS, "width": 0.1, "path_units": (16, 8), "joint_units": 8}
    network = ClipNetwork(FSTCN(num_classes=4, preset="small", **sizes))
    before = network.score(clip, 0)
    network.randomise(5)
    assert network.score(clip, 0) != pytest.approx(before, rel=1e-3)


def test_how_many_crops_hold_a_pixel():
    counts = ClipNetwork(tiny_fstcn()).crops_over(72, 90)
    tops, lefts = (0, 4, 8), (0, 13, 26)
    for row, column in [(0, 0), (5, 20), (36, 45), (71, 89), (66, 14)]:
        rows = sum(0 <= row - top < SIZE for top in tops)
        assert counts[row, column] == rows * sum(0 <= column - left < SIZE for left in lefts)
