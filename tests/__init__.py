"""Tests; they compute as the commands do."""

import contextlib
import os

with contextlib.suppress(ImportError):  # comes with PyTorch
    # it crashes if TensorFlow was loaded before: https://github.com/tensorflow/tensorflow/issues/124205
    import triton  # noqa: F401

from fstcn_keras.process import set_up_environment

os.environ["FSTCN_KERAS_LAZY"] = "1"  # of processes that tests start to decode in
set_up_environment()  # before anything imports TensorFlow
