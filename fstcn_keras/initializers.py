"""Initialisations by which new layers pass on what pre-trained layers below them see."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="fstcn_keras")
class MeanOverPlaces(keras.initializers.Initializer):
    """Kernel that starts the same at all places, as one over their mean.

    The inputs of the layer, of a convolution its channels, are the features of one place after
    those of another. With `V` drawn as He et al. 2015 do it for the features of one place,

    ```
    K[..., i * features + c, u] = V[..., c, u] / places,    so that    x @ K = mean_i(x[i]) @ V
    ```

    Each place has weights of its own, which training tells apart where that pays. From weights
    that are all random the layer learns arrangements of places by heart where videos are few.

    Args:
        places: number of places, or of moments; it must divide the inputs.
        seed: of `V`.
    """

    def __init__(self, places: int, seed: int | None = None):
        self.places = places
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape, dtype=None):
        """The kernel, `(inputs, units)` or `(height, width, inputs, filters)`.

        Raises:
            ValueError: if the places do not divide the inputs.
        """
        *size, inputs, units = shape
        if inputs % self.places:
            raise ValueError(f"{self.places} places must divide the inputs. Received: {shape}")
        shared = self._he((*size, inputs // self.places, units), dtype)
        return ops.tile(shared / self.places, (*[1] * len(size), self.places, 1))

    def get_config(self):
        return {"places": self.places, "seed": self._he.get_config()["seed"]}


@keras.saving.register_keras_serializable(package="fstcn_keras")
class NearIdentity(keras.initializers.Initializer):
    """Kernel that starts by passing inputs on, of fewer outputs a choice in equal steps.

    ```
    K[a, b, i, o] = [(a, b) is the middle and i = floor(o * inputs / outputs)] + 0.1 H[a, b, i, o]
    ```

    with `H` drawn as He et al. 2015 do it. Features that are not negative pass a ReLU after it
    nearly as they were. A sum of many with random weights is nearly the same for all videos.

    Args:
        seed: of `H`.
    """

    def __init__(self, seed: int | None = None):
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape, dtype=None):
        """The kernel, `(inputs, outputs)` or `(height, width, inputs, outputs)`."""
        dtype = keras.backend.standardize_dtype(dtype)
        *size, inputs, outputs = shape
        same = np.zeros(shape)
        output = np.arange(outputs)
        same[(*(side // 2 for side in size), output * inputs // outputs, output)] = 1
        return ops.convert_to_tensor(same, dtype) + 0.1 * self._he(shape, dtype)

    def get_config(self):
        return {"seed": self._he.get_config()["seed"]}
