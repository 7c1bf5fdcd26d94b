"""What a server scores with: a training run, or a SavedModel that was exported from one."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier


def is_saved_model(folder: Path) -> bool:
    """Whether the folder is that of a SavedModel's version, or holds such folders."""
    return any(folder.glob("saved_model.pb")) or any(folder.glob("[0-9]*/saved_model.pb"))


def load_classifier(folder: Path) -> "ActionClassifier":
    """Loads the network of a run or of a SavedModel.

    Raises:
        FileNotFoundError: see `ActionClassifier.load` and `load_saved_model`.
        ValueError: the same.
    """
    if is_saved_model(folder):  # imported here: the server answers before TensorFlow is there
        from fstcn_keras.saved_model import load_saved_model

        return load_saved_model(folder)
    from fstcn_keras.classifier import ActionClassifier

    return ActionClassifier.load(folder)


def model_name(folder: Path) -> str:
    """The name of the run, or of the SavedModel whose version the folder is."""
    folder = folder.resolve()
    is_version = (folder / "saved_model.pb").is_file() and folder.name.isdecimal()
    return (folder.parent if is_version else folder).name
