"""Tests; they compute as the commands do."""

import os

from fstcn_keras.process import set_up_environment

os.environ["FSTCN_KERAS_LAZY"] = "1"  # of processes that tests start to decode in
set_up_environment()  # before anything imports TensorFlow
