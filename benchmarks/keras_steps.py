"""Steps of the network in Keras on TensorFlow, for a worker of `benchmarks.step`.

They are those of `training.loop` and of prediction, strategy and all.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from benchmarks import flops
from benchmarks.workers import Work
from fstcn_keras import PRESETS, fstcn
from training.distribution import device_strategy
from training.loop import Stage, train_step
from training.optimizers import build_optimizer

NUM_CLASSES = 51
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def step(*, network: str, precision: str, phase: str, batch: int) -> Work:
    """A training step (forward, loss, backward, update) or a forward pass.

    Args:
        network: the preset.
        precision: a key of `POLICIES`.
        phase: `"training"` or `"inference"`.
        batch: clips of a step.
    """
    strategy = _strategy(batch)
    model, optimizer = _network(network, precision, strategy)
    config = PRESETS[network]
    shape = (batch, config.clip_length, config.crop_size, config.crop_size, 3)
    generator = np.random.default_rng(0)
    inputs = {
        name: generator.integers(0, 256, shape, dtype=np.uint8) for name in ("clip", "clip_diff")
    }
    if phase == "inference":
        return Work(lambda: model.predict_on_batch(inputs), batch * flops.inference_flops(model))
    stage = Stage(
        name="benchmark",
        model=model,
        optimizer=optimizer,
        draws=None,
        held_out=None,
        epochs=1,
        steps_per_epoch=1,
        batch_size=batch,
    )
    train = train_step(stage, strategy)
    labels = generator.integers(0, NUM_CLASSES, batch)
    arguments = tf.nest.map_structure(
        tf.constant, (inputs, labels, np.ones(batch, np.float32), np.float32(0))
    )
    return Work(lambda: train(*arguments).numpy(), batch * flops.training_flops(model))


def peak(*, precision: str, size: int) -> Work:
    """A product of two square matrices."""
    left, right = tf.unstack(tf.cast(tf.random.normal((2, size, size)), precision))
    return Work(lambda: tf.linalg.matmul(left, right), 2 * size**3)


def reason(error: Exception) -> str | None:
    """Why the machine cannot, see `Worker`."""
    return "out of memory" if isinstance(error, tf.errors.ResourceExhaustedError) else None


@functools.cache
def _strategy(batch: int) -> tf.distribute.Strategy:
    return device_strategy(batch_size=batch)


@functools.cache
def _network(preset: str, precision: str, strategy: tf.distribute.Strategy):
    """The network, shared by its phases, and its optimiser."""
    keras.config.set_dtype_policy(POLICIES[precision])
    with strategy.scope():
        model = fstcn(num_classes=NUM_CLASSES, preset=preset)
        optimizer = build_optimizer(
            "sgd", learning_rate=1e-3, warmup_steps=0, total_steps=10**6, rates={}
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer
