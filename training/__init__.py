"""Commands that make and judge an FSTCN; they run Keras on TensorFlow.

TensorFlow is imported by the modules that compute with it, so that decoding starts without it.
"""

import contextlib
import os
import sys
import tempfile

from fstcn_keras.imports import around_import

if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    print(
        "error: training needs Keras' TensorFlow backend, "
        f"got KERAS_BACKEND={os.environ['KERAS_BACKEND']}: unset it",
        file=sys.stderr,
    )
    sys.exit(2)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _native_stderr_held_back():
    """Keeps off the terminal what TensorFlow's C++ prints before its log level is read.

    If the import fails, everything held back is printed after all.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


around_import("tensorflow", _native_stderr_held_back)
