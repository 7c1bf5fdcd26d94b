"""Options that several commands share, in parts."""

from training.options.collection import CollectionOptions
from training.options.files import differences, read_config, write_config
from training.options.fit import FitOptions

__all__ = [
    "CollectionOptions",
    "FitOptions",
    "differences",
    "read_config",
    "write_config",
]
