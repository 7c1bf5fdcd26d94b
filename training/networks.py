"""The trained network of a run: loaded, held against the data, and told from others."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras.description import existing_file, load_description
from fstcn_keras.process import import_keras
from fstcn_keras.runs import RunFolder
from training.data.collections import Dataset
from training.errors import UserError
from training.scores import check_classes

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


def load_classifier(
    run: RunFolder, *, mode: str | None = None, num_clips: int | None = None
) -> "ActionClassifier":
    """Loads the run's trained network; `mode` and `num_clips` as for `ActionClassifier.load`.

    Raises:
        UserError: if the run has none.
    """
    try:
        existing_file(run.model)
        load_description(run.path)
        import_keras()  # not for a run that lacks a file
        from fstcn_keras import ActionClassifier

        return ActionClassifier.load(run.path, mode=mode, num_clips=num_clips)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run} holds no trained network: {error}{_remedy(run)}") from error


def _remedy(run: RunFolder) -> str:
    """Returns what to do for the network of a run that has begun."""
    if not run.checkpoints.exists():
        return ""
    if run.model.exists():
        return f"; remove {run.model} and give the same command of training.fit again: it mends it"
    return "; give the same command of training.fit again: it goes on where it stopped"


def check_network_classes(classifier: "ActionClassifier", dataset: Dataset):
    """Makes sure that the network's classes are those of the data.

    Raises:
        UserError: saying in what they differ.
    """
    try:
        check_classes(("the network", "the data"), classifier.classes, dataset.classes)
    except UserError as error:
        raise UserError(
            f"{error}: give the folders of the classes their names back, or train anew"
        ) from error


def weights_sha256(classifier: "ActionClassifier") -> str:
    """Returns the hash of all weights, in the network's order, as little-endian bytes."""
    digest = hashlib.sha256()
    for value in classifier.model.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
