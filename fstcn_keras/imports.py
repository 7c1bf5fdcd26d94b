"""Settings of a process that computes with TensorFlow."""

import os


def set_up_tensorflow() -> None:
    """Has TensorFlow compute with oneDNN on every processor, and log no more than warnings."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
