"""Reads files of arrays, which may be damaged."""

from pathlib import Path

import numpy as np


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of an `.npz` file by name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/scores.npz", labels=np.arange(3))
        ...     read_arrays(Path(folder) / "scores.npz")
        {'labels': array([0, 1, 2])}

    Raises:
        OSError: if the file cannot be opened, as where there is none.
        ValueError: if it is damaged or holds Python objects.
    """
    with file.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # NumPy and zipfile raise whatever damaged bytes lead to
            raise ValueError(f"{file} is damaged: {error}") from error
