"""What the forms of the layers save: python -m benchmarks.layers

Times a training step of the lower SCLs of `small` and of `paper`, from the pixels of clips of five
frames, in all forms that `accelerate` gives them, and with one of them left out: Winograd's
convolutions, LRN in one compiled pass (then it is one banded product, or a sum of shifted slices),
the `TimeDistributed` that folds time, pixels normalised in one compiled pass. Then one of the fully
connected layers, side by side, in their form and as Keras' own. In float32 and, where the processor
multiplies it, bfloat16. The variants run in turn; a step returns its loss as a number, so nothing
is left running.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from unittest import mock

import keras
import numpy as np
from keras import layers, ops

from benchmarks.keras_steps import POLICIES
from benchmarks.report import alternate, print_table, write_csv
from benchmarks.step import native_precisions
from fstcn_keras import FSTCN, acceleration
from fstcn_keras.acceleration import (
    folded_time,
    fully_connected,
    pixel_normalization,
    response_normalization,
    winograd_convolution,
)
from fstcn_keras.layers import LocalResponseNormalization
from fstcn_keras.parts import all_layers
from training import cli
from training.parts import option

Form = Callable[[keras.Layer], acceleration.Replacements]


def plain(layer: keras.Layer) -> acceleration.Replacements:
    """Leaves every layer as it is."""
    return {}


def sliced_normalization(layer: keras.Layer) -> acceleration.Replacements:
    """Gives LRN a `call` of the same numbers, by adding up shifted copies of the squares."""
    if not isinstance(layer, LocalResponseNormalization):
        return {}
    return {"call": functools.partial(_sliced, layer)}


BATCH = 8  # clips of a step
AS_IT_IS = "as it is"
LOWER_SCLS: dict[str, Mapping[Form, Form]] = {  # what stands in for a form
    AS_IT_IS: {},
    "Conv2D": {winograd_convolution.replacements: plain},
    "LRN, banded": {response_normalization.replacements: plain},
    "LRN, slices": {response_normalization.replacements: sliced_normalization},
    "TimeDistributed": {folded_time.replacements: plain},
    "PixelNormalization": {pixel_normalization.replacements: plain},
}
FULLY_CONNECTED: dict[str, Mapping[Form, Form]] = {
    AS_IT_IS: {},
    "Dense": {fully_connected.replacements: plain},
}


@dataclass(frozen=True, kw_only=True)
class LayersOptions:
    """What to measure."""

    presets: tuple[Literal["paper", "small"], ...] = option(("small", "paper"), "which networks")


def main(options: LayersOptions):
    """Prints and writes the table."""
    parts = {
        "lower SCLs": (LOWER_SCLS, lower_scls),
        "fully connected": (FULLY_CONNECTED, fully_connected_layers),
    }
    rows = [
        {"preset": preset, "part": part, "precision": precision, **row}
        for preset in options.presets
        for part, (variants, build) in parts.items()
        for precision in native_precisions()
        for row in compared(variants, build, preset=preset, precision=precision)
    ]
    print_table(rows)
    write_csv("layers", rows)


def compared(
    variants: Mapping[str, Mapping[Form, Form]],
    build: Callable[[str], keras.Model],
    *,
    preset: str,
    precision: str,
) -> list[dict[str, str]]:
    """Returns one row for each variant of a part of the network."""
    keras.config.set_dtype_policy(POLICIES[precision])
    steps = {
        name: training_step(accelerated(build(preset), changes), BATCH)
        for name, changes in variants.items()
    }
    seconds = alternate(steps, rounds=5)
    as_it_is = seconds[AS_IT_IS]
    return [
        {"variant": name, "step_s": f"{taken:.4f}", "times as long": f"{taken / as_it_is:.2f}"}
        for name, taken in seconds.items()
    ]


def accelerated(model: keras.Model, changes: Mapping[Form, Form]) -> keras.Model:
    """Accelerates a model with other forms in the place of some."""
    forms = tuple(changes.get(form, form) for form in acceleration._FORMS)
    with mock.patch.object(acceleration, "_FORMS", forms):
        return acceleration.accelerate(model)


def lower_scls(preset: str) -> keras.Model:
    """Builds the lower SCLs of a clip and a layer above, `(batch, l_t, h, w, 3)` to `(batch, 8)`.

    The pixels are those of differences.
    """
    network = FSTCN(num_classes=8, preset=preset, paths=["temporal"])
    normalization, backbone, _ = network.difference_encoder.layers
    images = keras.Sequential(
        [keras.Input((None, None, 3), dtype="uint8"), normalization, backbone]
    )
    clip = keras.Input(network.input["clip_diff"].shape[1:], dtype="uint8")
    x = layers.GlobalAveragePooling3D()(layers.TimeDistributed(images)(clip))
    return keras.Model(clip, layers.Dense(8, dtype="float32")(x))


def fully_connected_layers(preset: str) -> keras.Model:
    """Builds the large layers of the preset, each on its own inputs, and a layer above them all."""
    network = FSTCN(num_classes=8, preset=preset)
    shapes = [
        layer.kernel.shape
        for layer in all_layers(network.head)
        if isinstance(layer, layers.Dense) and layer is not network.classifier
    ]
    inputs = [keras.Input((length,)) for length, _ in shapes]
    features = [
        layers.Dense(units, activation="relu")(x)
        for x, (_, units) in zip(inputs, shapes, strict=True)
    ]
    return keras.Model(inputs, layers.Dense(8, dtype="float32")(layers.Concatenate()(features)))


def training_step(model: keras.Model, batch: int) -> Callable[[], float]:
    """Returns a function that does one training step and returns its loss."""
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    generator = np.random.default_rng(0)
    inputs = []
    for x in model.inputs:
        shape, are_pixels = (batch, *x.shape[1:]), x.dtype == "uint8"
        values = generator.integers(0, 256, shape) if are_pixels else generator.normal(size=shape)
        inputs.append(values.astype(x.dtype))
    targets = generator.normal(size=(batch, 8)).astype(np.float32)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return lambda: float(model.train_on_batch(inputs, targets))


def _sliced(layer: LocalResponseNormalization, x, training=None):
    half = layer.depth // 2
    padded = ops.pad(ops.square(x), [(0, 0)] * (len(x.shape) - 1) + [(half, half)])
    channels = x.shape[-1]
    energy = sum(padded[..., shift : shift + channels] for shift in range(layer.depth))
    scale = layer.bias + layer.alpha / layer.depth * ops.cast(energy, "float32")
    return x * ops.cast(ops.exp(-layer.beta * ops.log(scale)), x.dtype)


if __name__ == "__main__":
    cli.run(main, LayersOptions)
