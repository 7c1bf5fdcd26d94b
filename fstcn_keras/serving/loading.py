"""Loads what a server scores with: a training run, or a SavedModel exported from one."""

from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.process import import_keras
from fstcn_keras.runs import saved_model_version

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier


def load_classifier(folder: Path, mode: str | None = None) -> "ActionClassifier":
    """Loads the network of a run, or of a SavedModel: a version's folder, or that of its versions.

    Args:
        folder: that of the run or SavedModel.
        mode: as for `ActionClassifier.load`; that of a SavedModel is fixed.

    Raises:
        OSError: if the folder or one of its files is missing.
        ValueError: if a file cannot be read as what it should be, or a SavedModel has another mode.
    """
    import_keras()  # not before the server lives
    if saved_model_version(folder) is None:
        from fstcn_keras.classifier import ActionClassifier

        return ActionClassifier.load(folder, mode=mode)
    from fstcn_keras.export.saved_model import load_saved_model

    classifier = load_saved_model(folder)
    if mode not in (None, classifier.plan.mode):
        raise ValueError(
            f"the views of a SavedModel are fixed when it is exported: those of {folder} are "
            f"{classifier.plan.mode}. Received: {mode}"
        )
    return classifier
