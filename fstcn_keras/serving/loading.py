"""Loads what a server scores with: a training run, or a SavedModel exported from one."""

from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.runs import saved_model_version

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier
    from fstcn_keras.export.shared_views import SharedSavedModel

    Classifier = ActionClassifier | SharedSavedModel


def load_classifier(folder: Path, mode: str | None = None) -> "Classifier":
    """Loads the network of a run, or of a SavedModel: a version's folder, or that of its versions.

    Args:
        folder: that of the run or SavedModel.
        mode: as for `ActionClassifier.load`; that of a SavedModel is fixed.

    Raises:
        OSError: if the folder or one of its files is missing.
        ValueError: if a file cannot be read as what it should be, or a SavedModel has another mode.
    """
    version = saved_model_version(folder)
    if version is None:
        from fstcn_keras.classifier import ActionClassifier  # not before the server lives

        return ActionClassifier.load(folder, mode=mode)
    from fstcn_keras.classifier import load_description
    from fstcn_keras.export.saved_model import DESCRIPTION, load_saved_model
    from fstcn_keras.export.shared_views import SharedSavedModel

    _, plan = load_description(version / DESCRIPTION)
    if mode not in (None, plan.mode):
        raise ValueError(
            f"the views of a SavedModel are fixed when it is exported: those of {folder} are "
            f"{plan.mode}. Received: {mode}"
        )
    return SharedSavedModel(version) if plan.mode == "shared" else load_saved_model(version)


def example_files(folder: Path) -> list[Path]:
    """Returns the example clips of a run, or of a SavedModel, named `NUMBER-CLASS.mp4`.

    Example:
        >>> example_files(Path("no-such-folder"))
        []
    """
    return sorted((saved_model_version(folder) or folder).glob("examples/*-*.mp4"))
