"""Initialises new layers so that they pass on what pre-trained layers below them see."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class MeanOverBlocks(keras.initializers.Initializer):
    """Starts a kernel the same for all blocks of its inputs, as one over their mean.

    The inputs of the layer, of a convolution its channels, are blocks of features, one block for
    each position in space or frame in time. With `V` drawn as He et al. 2015 do it for one block,

    ```
    K[..., i * features + c, u] = V[..., c, u] / blocks,    so that    x @ K = mean_i(x[i]) @ V
    ```

    Each block has weights of its own, which training tells apart where that pays. From weights
    that are all random the layer learns arrangements of positions by heart where videos are few.

    Example:
        >>> kernel = MeanOverBlocks(3, seed=0)((6, 4))
        >>> bool(ops.all(kernel[:2] == kernel[4:]))
        True

    Args:
        blocks: number of positions, or of frames; it must divide the inputs.
        seed: of `V`.
    """

    def __init__(self, blocks: int, seed: int | None = None) -> None:
        self.blocks = blocks
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Tensor:
        """Returns the kernel, `(inputs, units)` or `(height, width, inputs, filters)`.

        Raises:
            ValueError: if the blocks do not divide the inputs.
        """
        *size, inputs, units = shape
        if inputs % self.blocks:
            raise ValueError(f"{self.blocks} blocks must divide the inputs. Received: {shape}")
        shared = self._he((*size, inputs // self.blocks, units), dtype)
        return ops.tile(shared / self.blocks, (*[1] * len(size), self.blocks, 1))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"blocks": self.blocks, "seed": self._he.get_config()["seed"]}


@keras.saving.register_keras_serializable(package="fstcn_keras")
class NearIdentity(keras.initializers.Initializer):
    """Starts a kernel so that it passes inputs on, of fewer outputs a choice in equal steps.

    ```
    K[a, b, i, o] = [(a, b) is the middle and i = floor(o * inputs / outputs)] + 0.1 H[a, b, i, o]
    ```

    with `H` drawn as He et al. 2015 do it. Features that are not negative pass a ReLU after it
    nearly as they were. A sum of many with random weights is nearly the same for all videos.

    Example:
        >>> kernel = NearIdentity(seed=0)((4, 2))
        >>> [int(number) for number in ops.argmax(kernel, axis=0)]
        [0, 2]

    Args:
        seed: of `H`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._he = keras.initializers.HeNormal(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Tensor:
        """Returns the kernel, `(inputs, outputs)` or `(height, width, inputs, outputs)`."""
        dtype = keras.backend.standardize_dtype(dtype)
        *size, inputs, outputs = shape
        same = np.zeros(shape)
        output = np.arange(outputs)
        same[(*(side // 2 for side in size), output * inputs // outputs, output)] = 1
        return ops.convert_to_tensor(same, dtype) + 0.1 * self._he(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"seed": self._he.get_config()["seed"]}
