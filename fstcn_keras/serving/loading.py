"""What a server scores with: a training run, or a SavedModel that was exported from one."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

_EXTRA = "assets.extra"  # TensorFlow's place for files that travel with a SavedModel


def load_classifier(folder: Path) -> "ActionClassifier":
    """Loads the network of a run, or of a SavedModel: a version's folder, or that of its versions.

    A SavedModel needs no code of this project to run; what the classes are called and which views
    are scored stands in files beside its graph.

    Raises:
        OSError: if the folder or one of its files is missing.
        ValueError: if a file cannot be read as what it should be.
    """
    import keras  # not before the server answers that it is alive

    from fstcn_keras.classifier import ActionClassifier, read_description

    version = saved_model_version(folder)
    if version is None:
        return ActionClassifier.load(folder)
    classes, plan = read_description(version / _EXTRA)
    shape = (plan.clip_length, plan.crop_size, plan.crop_size, 3)
    inputs = {name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")}
    graph = keras.layers.TFSMLayer(version, call_endpoint="serving_default")
    outputs = graph(inputs["clip"], clip_diff=inputs["clip_diff"])
    return ActionClassifier(
        keras.Model(inputs, outputs["probabilities"]), classes=classes, plan=plan
    )


def model_name(folder: Path) -> str:
    """The name of the run, or of the SavedModel whose version the folder is."""
    folder = folder.resolve()
    is_version = (folder / "saved_model.pb").is_file() and folder.name.isdecimal()
    return (folder.parent if is_version else folder).name


def saved_model_version(folder: Path) -> Path | None:
    """The folder of a SavedModel: the given one, or that of its newest version; None without."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [file.parent for file in folder.glob("*/saved_model.pb")]
    numbered = [version for version in versions if version.name.isdecimal()]
    return max(numbered, key=lambda version: int(version.name), default=None)
