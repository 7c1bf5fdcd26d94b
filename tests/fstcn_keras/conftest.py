"""What tests of the library share."""

import keras
import pytest

from fstcn_keras import FSTCN
from tests.networks import TINY


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return FSTCN(num_classes=4, **TINY)
