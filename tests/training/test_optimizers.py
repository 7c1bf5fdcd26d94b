"""The optimisers' steps against their formulas, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.processes import run_python
from training.optimizers import build_optimizer

DECAY, RATE = 0.5, 0.1


def step(name: str, *, rates=None, decay=DECAY):
    """Weights of a dense layer, two gradients, and the weights after a step with each.

    In the scope of a strategy every replica has an equal share of the gradients.
    """
    strategy = tf.distribute.get_strategy()
    generator = np.random.default_rng(0)
    layer = keras.layers.Dense(3, name="dense")
    layer.build((None, 2))
    before = [generator.normal(size=variable.shape) for variable in layer.trainable_variables]
    layer.set_weights(before)
    schedule = {"learning_rate": RATE, "warmup_steps": 0, "total_steps": 10**9}
    optimizer = build_optimizer(name, rates=rates or {}, weight_decay=decay, **schedule)
    optimizer.build(layer.trainable_variables)
    gradients = [[generator.normal(size=weight.shape) for weight in before] for _ in range(2)]

    def replica_step(number):
        replicas = strategy.num_replicas_in_sync
        optimizer.apply([tf.constant(g / replicas, "float32") for g in gradients[number]])

    for number in range(2):
        strategy.run(replica_step, args=(number,))
    return before, gradients, [v.numpy() for v in layer.trainable_variables]


def momentum(weight, gradients, decay):
    velocity = np.zeros_like(weight)
    for gradient in gradients:
        velocity = 0.9 * velocity - RATE * (gradient + decay * weight)
        weight = weight + velocity
    return weight


def adam(weight, gradients, decay):
    mean = square = np.zeros_like(weight)
    for number, gradient in enumerate(gradients, 1):
        gradient = gradient + decay * weight
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**number), square / (1 - 0.999**number)
        weight = weight - RATE * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-7)
    return weight


@pytest.mark.parametrize(("name", "formula"), [("sgd", momentum), ("adam", adam)])
def test_kernels_are_decayed_by_a_term_of_the_gradient(name, formula):
    before, gradients, after = step(name)
    for number, decay in enumerate((DECAY, 0.0)):  # kernel, bias
        expected = formula(before[number], [both[number] for both in gradients], decay)
        np.testing.assert_allclose(after[number], expected, rtol=2e-5, atol=2e-6)


def test_the_decay_of_adamw_stands_apart():
    before, gradients, after = step("adamw")
    for number, decay in enumerate((DECAY, 0.0)):
        weight = before[number]
        own = [both[number] for both in gradients]
        steps = np.diff([adam(0 * weight, own[:taken], 0.0) for taken in range(3)], axis=0)
        for of_adam in steps:
            weight = (1 - RATE * decay) * weight + of_adam
        np.testing.assert_allclose(after[number], weight, rtol=2e-5, atol=2e-6)


def test_two_devices_take_the_same_steps(tmp_path):
    script = """
import numpy as np, sys, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training.test_optimizers import step
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    found = {name: step(name)[2] for name in ("sgd", "adam", "adamw")}
np.savez(sys.argv[1], **{f"{name} {n}": w for name, of in found.items() for n, w in enumerate(of)})
"""
    run_python(script, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as found:
        for name in ("sgd", "adam", "adamw"):
            for number, expected in enumerate(step(name)[2]):
                np.testing.assert_allclose(found[f"{name} {number}"], expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "decay"), [("sgd", 0.0), ("adam", 0.0), ("adamw", 0.001)])
def test_a_slow_variable_takes_its_share_of_the_step(name, decay):
    before, _, slow = step(name, rates={"dense/kernel": 0.25}, decay=decay)
    after = step(name, decay=decay)[2]
    np.testing.assert_allclose(slow[0] - before[0], (after[0] - before[0]) / 4, atol=3e-5)
    np.testing.assert_array_equal(slow[1], after[1])
