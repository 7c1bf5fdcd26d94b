"""Measurements: each module is a command that prints its table and writes its CSV."""

from fstcn_keras.imports import set_up_tensorflow

set_up_tensorflow()
