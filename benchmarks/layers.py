"""What the forms of the layers save: python -m benchmarks.layers

Times a training step of the lower SCLs of `small` and of `paper` on clips of five frames, as they
are and with one of their forms changed: Keras' own convolutions instead of Winograd's, LRN as one
banded product or as a sum of shifted slices instead of one compiled pass, stock TimeDistributed
instead of the folded one; in float32 and, where the processor multiplies it, bfloat16. The
variants run in turn; a step returns its loss as a number, so nothing is left running.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import keras
import numpy as np
from keras import ops

from benchmarks.keras_steps import POLICIES
from benchmarks.report import alternate, print_table, write_csv
from benchmarks.step import native_precisions
from fstcn_keras import PRESETS
from fstcn_keras.layers import (
    FoldedTimeDistributed,
    LocalResponseNormalization,
    WinogradConvolution2D,
    execution,
)
from fstcn_keras.scl import build_scl
from training import cli
from training.cli import option


class BandedLRN(LocalResponseNormalization):
    """The same numbers, by one product with a banded matrix."""

    def call(self, x, training=None):
        with execution.portable():
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


VARIANTS = {
    "as it is": Variant(),
    "Conv2D": Variant(classes={WinogradConvolution2D: keras.layers.Conv2D}),
    "LRN, banded": Variant(classes={LocalResponseNormalization: BandedLRN}),
    "LRN, slices": Variant(classes={LocalResponseNormalization: SliceLRN}),
    "TimeDistributed": Variant(wrapper=keras.layers.TimeDistributed),
}


@dataclass(frozen=True, kw_only=True)
class LayersOptions:
    """What to measure."""

    presets: tuple[Literal["paper", "small"], ...] = option(("small", "paper"), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")


def main(options: LayersOptions):
    """Prints and writes the table."""
    rows = []
    for preset in options.presets:
        for precision in native_precisions():
            steps = {
                name: training_step(network(variant, preset, precision), options.batch)
                for name, variant in VARIANTS.items()
            }
            seconds = alternate(steps, rounds=options.rounds)
            for name, value in seconds.items():
                row = {"preset": preset, "precision": precision, "variant": name}
                ratio = value / seconds["as it is"]
                rows.append({**row, "step_s": f"{value:.4f}", "times as long": f"{ratio:.2f}"})
    print_table(rows)
    write_csv("layers", rows)


def network(variant: Variant, preset: str, precision: str) -> keras.Model:
    """The lower SCLs of a clip and a layer above them, `(batch, l_t, h, w, 3)` to `(batch, 8)`."""
    config = PRESETS[preset]
    keras.config.set_dtype_policy(POLICIES[precision])
    scl = build_scl(config.scl, size=config.crop_size, width=config.width, regularizer=None)
    scl = keras.models.clone_model(scl, clone_function=lambda layer: _copy(layer, variant))
    inputs = keras.Input((config.clip_length, config.crop_size, config.crop_size, 3))
    x = keras.layers.GlobalAveragePooling3D()(variant.wrapper(scl)(inputs))
    return keras.Model(inputs, keras.layers.Dense(8, dtype="float32")(x))


def training_step(model: keras.Model, batch: int) -> Callable[[], float]:
    """A function that does one training step and returns its loss."""
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, *model.input.shape[1:])).astype(np.float32)
    targets = generator.normal(size=(batch, 8)).astype(np.float32)
    return lambda: float(model.train_on_batch(images, targets))


def _copy(layer: keras.Layer, variant: Variant) -> keras.Layer:
    return variant.classes.get(type(layer), type(layer)).from_config(layer.get_config())


if __name__ == "__main__":
    cli.run(main, LayersOptions)
