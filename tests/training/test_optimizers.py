"""The optimisers' steps against their formulas, in NumPy."""

import keras
import numpy as np
import pytest

from training.optimizers import build_optimizer

DECAY, RATE = 0.5, 0.1


def step(name: str, *, rates=None, decay=DECAY):
    """Weights of a dense layer, two gradients, and the weights after a step with each."""
    generator = np.random.default_rng(0)
    layer = keras.layers.Dense(3, name="dense")
    layer.build((None, 2))
    before = [generator.normal(size=variable.shape) for variable in layer.trainable_variables]
    layer.set_weights(before)
    optimizer = build_optimizer(
        name,
        learning_rate=RATE,
        warmup_steps=0,
        total_steps=10**9,
        rates=rates or {},
        weight_decay=decay,
    )
    optimizer.build(layer.trainable_variables)
    gradients = [[generator.normal(size=weight.shape) for weight in before] for _ in range(2)]
    for both in gradients:
        optimizer.apply([keras.ops.cast(gradient, "float32") for gradient in both])
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


def test_a_slow_variable_takes_its_share_of_the_step():
    before, gradients, after = step("sgd", rates={"dense/kernel": 0.25}, decay=0.0)
    first, second = (both[0] for both in gradients)
    expected = before[0] - 0.25 * RATE * (1.9 * first + second)
    np.testing.assert_allclose(after[0], expected, rtol=2e-5, atol=2e-6)
