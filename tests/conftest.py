"""What all tests share."""

import keras
import pytest

pytest.register_assert_rewrite("tests.contracts")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
