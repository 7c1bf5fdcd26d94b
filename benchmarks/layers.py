"""What the forms of the layers save: python -m benchmarks.layers

Times a training step of the lower SCLs of `small` and of `paper` on clips of five frames, as they
are and with one of their forms changed: Keras' own convolutions instead of Winograd's, LRN as one
banded product or as a sum of shifted slices instead of one compiled pass, stock TimeDistributed
instead of the folded one. Then one of the fully connected layers, side by side, as they are and as
Keras' own. In float32 and, where the processor multiplies it, bfloat16. The variants run in turn; a
step returns its loss as a number, so nothing is left running.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import keras
import numpy as np
from fstcn_keras.backbones.registry import build_scl
from keras import ops

from benchmarks.keras_steps import POLICIES
from benchmarks.report import alternate, print_table, write_csv
from benchmarks.step import native_precisions
from fstcn_keras import PRESETS, fstcn
from fstcn_keras.acceleration import dispatch
from fstcn_keras.layers import (
    FoldedTimeDistributed,
    LargeDense,
    LocalResponseNormalization,
    WinogradConvolution2D,
)
from training import cli
from training.cli import option


class BandedLRN(LocalResponseNormalization):
    """The same numbers, by one product with a banded matrix."""

    def call(self, x, training=None):
        with dispatch.portable():
            return super().call(x, training=training)


class SliceLRN(LocalResponseNormalization):
    """The same numbers, by adding up `depth` shifted copies of the squares."""

    def call(self, x, training=None):
        half = self.depth // 2
        padded = ops.pad(ops.square(x), [(0, 0)] * (len(x.shape) - 1) + [(half, half)])
        channels = x.shape[-1]
        energy = sum(padded[..., shift : shift + channels] for shift in range(self.depth))
        scale = self.bias + self.alpha / self.depth * ops.cast(energy, "float32")
        return x * ops.cast(ops.exp(-self.beta * ops.log(scale)), x.dtype)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What stands in for layers of the package."""

    classes: dict[type, type] = field(default_factory=dict)
    wrapper: type = FoldedTimeDistributed


AS_IT_IS = "as it is"
LOWER_SCLS = {
    AS_IT_IS: Variant(),
    "Conv2D": Variant(classes={WinogradConvolution2D: keras.layers.Conv2D}),
    "LRN, banded": Variant(classes={LocalResponseNormalization: BandedLRN}),
    "LRN, slices": Variant(classes={LocalResponseNormalization: SliceLRN}),
    "TimeDistributed": Variant(wrapper=keras.layers.TimeDistributed),
}
FULLY_CONNECTED = {
    AS_IT_IS: Variant(),
    "Dense": Variant(classes={LargeDense: keras.layers.Dense}),
}


@dataclass(frozen=True, kw_only=True)
class LayersOptions:
    """What to measure."""

    presets: tuple[Literal["paper", "small"], ...] = option(("small", "paper"), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")


def main(options: LayersOptions):
    """Prints and writes the table."""
    parts = {
        "lower SCLs": (LOWER_SCLS, lower_scls),
        "fully connected": (FULLY_CONNECTED, fully_connected),
    }
    rows = [
        {"preset": preset, "part": part, "precision": precision, **row}
        for preset in options.presets
        for part, (variants, build) in parts.items()
        for precision in native_precisions()
        for row in compared(variants, build, preset=preset, precision=precision, options=options)
    ]
    print_table(rows)
    write_csv("layers", rows)


def compared(
    variants: dict[str, Variant],
    build: Callable[[Variant, str], keras.Model],
    *,
    preset: str,
    precision: str,
    options: LayersOptions,
) -> list[dict[str, str]]:
    """One row for each variant of a part of the network."""
    keras.config.set_dtype_policy(POLICIES[precision])
    steps = {
        name: training_step(build(variant, preset), options.batch)
        for name, variant in variants.items()
    }
    seconds = alternate(steps, rounds=options.rounds)
    return [
        {
            "variant": name,
            "step_s": f"{value:.4f}",
            "times as long": f"{value / seconds[AS_IT_IS]:.2f}",
        }
        for name, value in seconds.items()
    ]


def lower_scls(variant: Variant, preset: str) -> keras.Model:
    """The lower SCLs of a clip and a layer above them, `(batch, l_t, h, w, 3)` to `(batch, 8)`."""
    config = PRESETS[preset]
    scl = build_scl(config.scl, size=config.crop_size, width=config.width, regularizer=None)
    scl = keras.models.clone_model(scl, clone_function=lambda layer: _copy(layer, variant))
    inputs = keras.Input((config.clip_length, config.crop_size, config.crop_size, 3))
    x = keras.layers.GlobalAveragePooling3D()(variant.wrapper(scl)(inputs))
    return keras.Model(inputs, keras.layers.Dense(8, dtype="float32")(x))


def fully_connected(variant: Variant, preset: str) -> keras.Model:
    """The large layers of the preset, each on inputs of its own, and a layer above them all."""
    layer = variant.classes.get(LargeDense, LargeDense)
    network = fstcn(num_classes=8, preset=preset)
    shapes = [one.kernel.shape for one in network.layers if isinstance(one, LargeDense)]
    inputs = [keras.Input((length,)) for length, _ in shapes]
    features = [
        layer(units, activation="relu")(x) for x, (_, units) in zip(inputs, shapes, strict=True)
    ]
    x = keras.layers.Concatenate()(features)
    return keras.Model(inputs, keras.layers.Dense(8, dtype="float32")(x))


def training_step(model: keras.Model, batch: int) -> Callable[[], float]:
    """A function that does one training step and returns its loss."""
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=(batch, *x.shape[1:])).astype("float32") for x in model.inputs]
    targets = generator.normal(size=(batch, 8)).astype(np.float32)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return lambda: float(model.train_on_batch(inputs, targets))


def _copy(layer: keras.Layer, variant: Variant) -> keras.Layer:
    return variant.classes.get(type(layer), type(layer)).from_config(layer.get_config())


if __name__ == "__main__":
    cli.run(main, LayersOptions)
