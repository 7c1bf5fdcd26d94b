"""Commands that make and judge an FSTCN; they run Keras on TensorFlow.

TensorFlow is imported by the modules that compute with it, so that decoding starts without it.
"""

import os
import sys

from fstcn_keras.imports import set_up_tensorflow

if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    print(
        "error: training needs Keras' TensorFlow backend, "
        f"got KERAS_BACKEND={os.environ['KERAS_BACKEND']}: unset it",
        file=sys.stderr,
    )
    sys.exit(2)

set_up_tensorflow()
