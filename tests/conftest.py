"""What all tests share."""

from fstcn_keras.imports import set_up_tensorflow

set_up_tensorflow()  # before Keras imports it: as the commands that tests start compute

import keras  # noqa: E402
import pytest  # noqa: E402

pytest.register_assert_rewrite("tests.contracts")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
