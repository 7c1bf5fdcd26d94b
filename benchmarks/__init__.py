"""Measurements: each module is a command that prints its table and writes its CSV."""

import os

# these modules are commands, nobody's library; a worker of theirs chooses a framework of its own
os.environ["FSTCN_KERAS_LAZY"] = "1"

from fstcn_keras.process import set_up_process

set_up_process()
