"""Measurements: each module is a command that prints its table and writes its CSV."""

from fstcn_keras.process import set_up_environment

set_up_environment()  # these modules are commands, nobody's library
