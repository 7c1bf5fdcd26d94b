"""What all tests share."""

import gc
import signal

import keras
import pytest

pytest.register_assert_rewrite("tests.contracts")


# a shell ignores Ctrl-C for what it starts in the background, and so would all that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Spares the collector what was imported: training makes it look at everything alive."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
