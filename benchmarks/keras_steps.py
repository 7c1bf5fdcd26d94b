"""Steps of the network in Keras on TensorFlow, for a worker of `benchmarks.step`.

They are those of `training.loop` and of prediction: accelerated, strategy and all.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks import flops
from benchmarks.workers import NUM_CLASSES, Work
from fstcn_keras import PRESETS, accelerate, fstcn
from training.distribution import device_strategy
from training.loop import Stage, train_step
from training.optimizers import build_optimizer

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_strategy = functools.cache(device_strategy)


def step(*, network: str, precision: str, phase: str, batch: int) -> Work:
    """A training step (forward, loss, backward, update) or a forward pass.

    Args:
        network: the preset.
        precision: a key of `POLICIES`.
        phase: `"training"` or `"inference"`.
        batch: clips of a step.
    """
    strategy = _strategy()
    model, optimizer = _network(network, precision, strategy)
    if phase == "training":
        return Work(
            training_call(model, optimizer, strategy, batch=batch),
            batch * flops.training_flops(model),
        )
    inputs = {name: tf.constant(pixels) for name, pixels in _random_clips(model, batch).items()}
    return Work(lambda: model.predict_on_batch(inputs), batch * flops.inference_flops(model))


def built_network(
    optimizer_name: str, strategy: tf.distribute.Strategy, *, preset: str, **arguments
) -> tuple[keras.Model, keras.Optimizer]:
    """A network, with further arguments of `fstcn`, and its optimiser, on the strategy."""
    with strategy.scope():
        model = accelerate(fstcn(preset=preset, **arguments))
        optimizer = build_optimizer(
            optimizer_name,
            learning_rate=1e-3,
            warmup_steps=0,
            total_steps=10**6,
            rates={},
            weight_decay=PRESETS[preset].weight_decay,
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer


def training_call(
    model: keras.Model,
    optimizer: keras.Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    batch: int,
) -> Callable[[], float]:
    """Returns a function that does one training step on random clip pairs.

    It returns the loss, summed over the batch.

    Args:
        model: `FSTCN`, made in the strategy's scope, as is the optimizer.
        optimizer: built.
        strategy: its replicas share the batch.
        batch: clips of a step, over all replicas.
    """
    stage = Stage(
        name="benchmark",
        network=model,
        model=model,
        optimizer=optimizer,
        sampler=None,
        held_out=None,
        epochs=1,
        steps_per_epoch=1,
        batch_size=batch,
    )
    share = batch // strategy.num_replicas_in_sync
    labels = np.arange(share, dtype=np.int32) % model.output.shape[-1]
    samples = _random_clips(model, share), labels, np.ones(share, np.float32)
    data = tf.data.Dataset.from_tensors(samples).repeat()
    arguments = next(iter(strategy.distribute_datasets_from_function(lambda _: data)))
    step = train_step(stage, strategy)
    return lambda: float(step(*arguments, tf.constant(0.0))[0])


def peak(*, precision: str, size: int) -> Work:
    """A product of two square matrices."""
    left, right = tf.unstack(tf.cast(tf.random.normal((2, size, size)), precision))
    return Work(lambda: tf.linalg.matmul(left, right), 2 * size**3)


def reason(error: Exception) -> str | None:
    """Why the machine cannot, see `Worker`."""
    return "out of memory" if isinstance(error, tf.errors.ResourceExhaustedError) else None


@functools.cache
def _network(preset: str, precision: str, strategy: tf.distribute.Strategy):
    """The network, shared by its phases, and its optimiser."""
    keras.config.set_dtype_policy(POLICIES[precision])
    return built_network("sgd", strategy, num_classes=NUM_CLASSES, preset=preset)


def _random_clips(model: keras.Model, batch: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        tensor.name: generator.integers(0, 256, (batch, *tensor.shape[1:]), dtype=np.uint8)
        for tensor in model.inputs
    }
