"""Tests; they compute as the commands do."""

from fstcn_keras.process import set_up_environment

set_up_environment()  # before anything imports TensorFlow
