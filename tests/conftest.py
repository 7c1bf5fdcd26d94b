"""What all tests share."""

import os

os.environ["FSTCN_KERAS_LAZY"] = "1"  # of processes that tests start to decode in
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the commands that tests start compute
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras
import pytest

pytest.register_assert_rewrite("tests.contracts")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
