"""Loads what a server scores with: a training run, or a SavedModel exported from one."""

from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.runs import saved_model_version

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier


def load_classifier(folder: Path) -> "ActionClassifier":
    """Loads the network of a run, or of a SavedModel: a version's folder, or that of its versions.

    Raises:
        OSError: if the folder or one of its files is missing.
        ValueError: if a file cannot be read as what it should be.
    """
    if saved_model_version(folder) is None:
        from fstcn_keras.classifier import ActionClassifier  # not before the server lives

        return ActionClassifier.load(folder)
    from fstcn_keras.export.saved_model import load_saved_model

    return load_saved_model(folder)


def example_files(folder: Path) -> list[Path]:
    """Returns the example clips of a run, or of a SavedModel, named `NUMBER-CLASS.mp4`.

    Example:
        >>> example_files(Path("no-such-folder"))
        []
    """
    return sorted((saved_model_version(folder) or folder).glob("examples/*-*.mp4"))
