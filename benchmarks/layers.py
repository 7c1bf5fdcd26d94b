"""What the folded TimeDistributed and the banded LRN save: python -m benchmarks.layers

Times a training step (batch 32, float32) of the lower SCLs of preset `small` on clips of five
frames: stock TimeDistributed against the folded one, LRN as a sum of shifted slices against one
banded product. The four variants run in turn; a step returns its loss as a number, so nothing
is left running. About two minutes on two cores.
"""

import keras
import numpy as np
from keras import ops

from benchmarks.report import alternate, write_csv
from fstcn_keras import PRESETS
from fstcn_keras.layers import FoldedTimeDistributed, LocalResponseNormalization
from fstcn_keras.scl import build_scl

BATCH = 32


class SliceLRN(LocalResponseNormalization):
    """The same numbers, by adding up `depth` shifted copies of the squares."""

    def call(self, x):
        half = self.depth // 2
        padded = ops.pad(ops.square(x), [(0, 0)] * (len(x.shape) - 1) + [(half, half)])
        channels = x.shape[-1]
        energy = sum(padded[..., shift : shift + channels] for shift in range(self.depth))
        scale = self.bias + self.alpha / self.depth * energy
        return x * ops.exp(-self.beta * ops.log(scale))


def main():
    """Prints and writes the table."""
    steps = {
        f"{wrapper.__name__} + {lrn.__name__}": training_step(wrapper, lrn)
        for wrapper in (keras.layers.TimeDistributed, FoldedTimeDistributed)
        for lrn in (SliceLRN, LocalResponseNormalization)
    }
    seconds = alternate(steps)
    fastest = min(seconds.values())
    rows = [
        {"variant": name, "step_s": f"{value:.3f}", "ratio_to_fastest": f"{value / fastest:.2f}"}
        for name, value in seconds.items()
    ]
    for row in rows:
        print(f"{row['variant']:52}{row['step_s']:>8} s{row['ratio_to_fastest']:>8} x")
    write_csv("layers", rows)


def training_step(wrapper: type, lrn: type):
    """A function that does one training step and returns its loss."""
    config = PRESETS["small"]
    scl = build_scl(config.scl, size=config.crop_size, width=config.width, regularizer=None)
    scl = keras.models.clone_model(
        scl,
        clone_function=lambda layer: (
            lrn.from_config(layer.get_config())
            if isinstance(layer, LocalResponseNormalization)
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    shape = (config.clip_length, config.crop_size, config.crop_size, 3)
    inputs = keras.Input(shape)
    x = wrapper(scl)(inputs)
    outputs = keras.layers.Dense(8)(keras.layers.GlobalAveragePooling3D()(x))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(BATCH, *shape)).astype(np.float32)
    targets = generator.normal(size=(BATCH, 8)).astype(np.float32)
    return lambda: float(model.train_on_batch(images, targets))


if __name__ == "__main__":
    main()
