"""Names types for annotations where Keras has none."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # of Keras' backend, symbolic or not: the backends share no class
Shape: TypeAlias = tuple[Any, ...]  # lengths of the axes, int or None
Initializer: TypeAlias = Any  # what `keras.initializers.get` takes
Regularizer: TypeAlias = Any  # what `keras.regularizers.get` takes
