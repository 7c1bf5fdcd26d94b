"""Defines what a reader of another framework's files gives `fstcn_keras.weights`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoredWeights:
    """Holds tensors by our names of layers, in the order of the layers' own weights.

    Example:
        >>> StoredWeights({"fc": [np.zeros((3, 2)), np.zeros(2)]}).notes
        ()

    Attributes:
        layers: tensors of each layer by its name.
        notes: what the file leaves open, and what was taken for it.
    """

    layers: dict[str, list[np.ndarray]]
    notes: tuple[str, ...] = ()
