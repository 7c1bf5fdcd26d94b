"""What tests of the benchmarks share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _policy_restored():
    yield
    keras.config.set_dtype_policy("float32")
