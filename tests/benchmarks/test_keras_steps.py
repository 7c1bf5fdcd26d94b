"""The steps that are timed in Keras on TensorFlow are those of training and prediction."""

import math

import pytest

from benchmarks import costs, flops, keras_steps
from fstcn_keras import FSTCN
from fstcn_keras.acceleration import dispatch


def work(phase: str):
    return keras_steps.step(network="small", precision="float32", phase=phase, batch=2)


def test_a_training_step_starts_from_chance_and_learns():
    timed = work("training")
    losses = [timed.call() for _ in range(3)]  # of two clips
    assert losses[0] == pytest.approx(2 * math.log(keras_steps.NUM_CLASSES), rel=0.1)
    assert len(set(losses)) == 3  # dropout, and other weights


def test_operations_are_those_of_the_batch():
    model = FSTCN(num_classes=keras_steps.NUM_CLASSES, preset="small")
    assert work("training").flops == 2 * flops.training_flops(model)
    assert work("inference").flops == 2 * flops.inference_flops(model)


@pytest.mark.skipif(
    not dispatch.may_compile((None, 1, 1, 1)), reason="layers are compiled on Linux processors"
)
@pytest.mark.parametrize(
    ("phase", "function"), [("training", "lrn_and_root"), ("inference", "lrn")]
)
def test_the_network_is_accelerated(phase, function):
    timed = work(phase)
    timed.call()
    assert f"compiled {function}" in costs.operation_seconds(timed.call)


def test_the_peak_is_of_a_whole_product():
    timed = keras_steps.peak(precision="float32", size=8)
    assert timed.call().shape == (8, 8)
    assert timed.flops == 2 * 8**3
