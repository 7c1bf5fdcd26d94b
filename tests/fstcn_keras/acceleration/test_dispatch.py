"""Networks as functions, and calls of them that overlap."""

import threading
import time

import keras
import numpy as np
import pytest

from fstcn_keras.acceleration import dispatch
from tests.processes import HANG_S


def test_overlapped_results_come_in_the_order_of_the_arguments():
    gone = threading.Event()

    def square(x: int) -> int:
        if x == 9:
            gone.set()
        elif keras.backend.backend() == "tensorflow" and x == 3:
            assert gone.wait(HANG_S)  # the first ends after the last: they run at the same time
        return x * x

    assert dispatch.overlapped(square, [3, 0, 7, 9]) == [9, 0, 49, 81]
    assert dispatch.overlapped(square, []) == []


def test_an_error_of_an_overlapped_call_ends_the_rest():
    begun = []

    def fail(x: int):
        begun.append(x)
        if x == 0:
            raise ValueError("no 0")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="no 0"):
        dispatch.overlapped(fail, range(1000))
    assert len(begun) < 1000


def test_inference_is_the_network_on_batches_of_any_size():
    image = keras.Input((None, None, 2), dtype="uint8")
    x = keras.layers.Dropout(0.5)(keras.layers.Rescaling(0.5)(image))
    network = keras.Model(image, keras.layers.Conv2D(3, 2)(x))
    run = dispatch.inference(network, (None, None, None, 2))
    weights = network.layers[-1]
    weights.set_weights([2 * weight for weight in weights.get_weights()])  # seen afterwards too
    kernel, bias = weights.get_weights()
    for shape in ((2, 3, 4, 2), (1, 6, 5, 2)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        expected = np.zeros((shape[0], shape[1] - 1, shape[2] - 1, 3)) + bias
        for y, x in np.ndindex(2, 2):
            window = images[:, y : y + shape[1] - 1, x : x + shape[2] - 1]
            expected += 0.5 * window @ kernel[y, x].astype("float64")
        found = run(images)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
