"""Sets up a process that computes with TensorFlow."""

import os


def set_up_tensorflow() -> None:
    """Has TensorFlow compute with oneDNN on every processor, and log no more than warnings.

    Example:
        >>> set_up_tensorflow()  # a setting that the user made stays
        >>> os.environ["TF_ENABLE_ONEDNN_OPTS"] in ("0", "1")
        True
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
