"""What tests of the library share."""

from pathlib import Path

import keras
import pytest

from fstcn_keras import FSTCN, ActionClassifier
from fstcn_keras.export.formats import write_version
from tests.networks import TINY, clear_classifier


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return FSTCN(num_classes=4, **TINY)


@pytest.fixture(scope="session")
def exported_classifier() -> ActionClassifier:
    return clear_classifier()


@pytest.fixture(scope="session")
def exported(exported_classifier, tmp_path_factory) -> Path:
    """The SavedModel `actions` of `exported_classifier`, in version 1."""
    folder = tmp_path_factory.mktemp("exported") / "actions"
    write_version(exported_classifier, folder)
    return folder
