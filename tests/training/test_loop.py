"""One step of training against its formulas, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import loop
from training.optimizers import build_optimizer

RATE, BATCH = 0.5, 5


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("class_weights", [None, (0.5, 2.0, 1.25)])
def test_a_step_takes_smoothed_and_weighted_targets_and_fills_nothing_in(smoothing, class_weights):
    """The last sample only fills up the batch: its weight is 0."""
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(BATCH, 4)).astype("float32"), np.array([0, 2, 1, 1, 2])
    weights = np.array([1, 1, 1, 1, 0], "float32")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    schedule = {"learning_rate": RATE, "warmup_steps": 0, "total_steps": 10**9}
    optimizer = build_optimizer("sgd", rates={}, **schedule)
    optimizer.build(model.trainable_variables)
    kernel, bias = model.get_weights()
    stage = loop.Stage(
        name="global",
        network=model,
        model=model,
        optimizer=optimizer,
        sampler=None,
        held_out=None,
        epochs=1,
        steps_per_epoch=1,
        batch_size=BATCH,
        label_smoothing=smoothing,
        class_weights=None if class_weights is None else np.array(class_weights),
    )
    step = loop.train_step(stage, tf.distribute.get_strategy())
    loss, right, count, stopped = step(x, labels.astype("int32"), weights, np.float32(1)).numpy()

    targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    probabilities = softmax(x @ kernel + bias)
    losses = -np.sum(targets * np.log(probabilities), axis=1)
    assert loss == pytest.approx(losses[:4].sum(), rel=1e-5)
    answers = probabilities.argmax(axis=1)
    assert (right, count, stopped) == (np.sum(answers[:4] == labels[:4]), 4, 1)

    shares = weights * (1 if class_weights is None else np.array(class_weights)[labels])
    errors = shares[:, None] * (probabilities - targets)
    after_kernel, after_bias = model.get_weights()
    np.testing.assert_allclose(after_kernel, kernel - RATE * x.T @ errors / BATCH, atol=1e-6)
    np.testing.assert_allclose(after_bias, bias - RATE * errors.sum(axis=0) / BATCH, atol=1e-6)
