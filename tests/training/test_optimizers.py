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


@pytest.mark.parametrize("warmup", [0, 4])
def test_the_rate_warms_up_in_a_line_and_falls_as_a_cosine(warmup):
    total = 12
    optimizer = build_optimizer(
        "sgd", learning_rate=RATE, warmup_steps=warmup, total_steps=total, rates={}
    )
    variable = keras.Variable(np.zeros(1, "float32"))
    optimizer.build([variable])
    found, expected = [], []
    for step in range(total + 1):
        found.append(float(optimizer.learning_rate))
        optimizer.apply([tf.ones(1)], [variable])
        fallen = max(0, step - warmup) / (total - warmup)
        rising = min(1, step / warmup) if warmup else 1
        expected.append(RATE * rising * (1 + np.cos(np.pi * fallen)) / 2)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert max(expected) == expected[warmup] == RATE


def test_only_kernels_are_decayed():
    schedule = {"learning_rate": RATE, "warmup_steps": 0, "total_steps": 1}
    optimizer = build_optimizer("sgd", rates={}, weight_decay=DECAY, **schedule)
    names = ("kernel", "P", "bias", "gamma", "beta")
    assert [optimizer.decay(f"path/{name}") for name in names] == [DECAY, DECAY, 0, 0, 0]


def test_a_scaled_loss_takes_the_same_step():
    """And float16, whose least number is 6e-8, holds the gradient of a loss of 1e-9."""
    after = []
    for scaled in (False, True):
        schedule = {"learning_rate": RATE, "warmup_steps": 0, "total_steps": 10**9}
        optimizer = build_optimizer("sgd", rates={}, loss_scale=scaled, **schedule)
        variable = keras.Variable(np.ones(1, "float32"))
        optimizer.build([variable])
        loss = optimizer.scale_loss(tf.constant([1e-9]))
        assert (tf.cast(loss, tf.float16).numpy() > 0) == [scaled]
        optimizer.apply([1e9 * loss], [variable])
        after.append(float(variable.numpy()[0]))
    assert after == pytest.approx([1 - RATE] * 2)
