"""What all tests share."""

import gc

import keras
import pytest

pytest.register_assert_rewrite("tests.contracts")


def pytest_collection_finish():
    """Spares the collector what was imported: training makes it look at everything alive."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
