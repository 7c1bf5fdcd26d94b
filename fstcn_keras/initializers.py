"""Initialisations by which new layers pass on what pre-trained layers below them see."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fstcn_keras")
class MeanOverPlaces(keras.initializers.Initializer):
    """Kernel of a fully-connected layer that starts as one over the mean of all places.

    The layer's input is the flattened `(places, features)`, its kernel `K`. With `V` drawn as He
    et al. 2015 do it for `features` inputs, every place starts with the same share of it:

    ```
    K[i * features + c, u] = V[c, u] / places,    so that    x @ K = mean_i(x[i]) @ V
    ```

    Each place has weights of its own, which training tells apart where that pays. From He's
    initialisation of all weights it learns arrangements of places by heart where videos are few
    (`python -m benchmarks.recipe`).

    Args:
        places: number of places, or of moments; it must divide the layer's inputs.
        seed: of `V`.
    """

    def __init__(self, places: int, seed: int | None = None):
        self.places = places
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape, dtype=None):
        """The kernel, `(places * features, units)`.

        Raises:
            ValueError: if the places do not divide the inputs.
        """
        inputs, units = shape
        if inputs % self.places:
            raise ValueError(f"{self.places} places must divide the inputs. Received: {shape}")
        shared = self._he((inputs // self.places, units), dtype)
        return ops.tile(shared / self.places, (self.places, 1))

    def get_config(self):
        return {"places": self.places, "seed": self._he.get_config()["seed"]}


@keras.saving.register_keras_serializable(package="fstcn_keras")
class NearIdentity(keras.initializers.Initializer):
    """Kernel of a convolution of odd size that starts by passing its input on.

    ```
    K[a, b, i, o] = [a and b in the middle and i = o] + 0.1 H[a, b, i, o]
    ```

    with `H` drawn as He et al. 2015 do it. Over features that are not negative, a ReLU changes
    little of them.

    Args:
        seed: of `H`.
    """

    def __init__(self, seed: int | None = None):
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape, dtype=None):
        """The kernel, `(height, width, features, filters)`."""
        dtype = keras.backend.standardize_dtype(dtype)
        height, width, features, filters = shape
        middle = ops.reshape(ops.arange(height * width) == height * width // 2, (height, width))
        same = ops.eye(features, filters, dtype=dtype)
        identity = ops.einsum("hw,io->hwio", ops.cast(middle, dtype), same)
        return identity + 0.1 * self._he(shape, dtype)

    def get_config(self):
        return {"seed": self._he.get_config()["seed"]}
