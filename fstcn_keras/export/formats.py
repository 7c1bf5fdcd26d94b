"""Hands a run to production: python -m fstcn_keras.export [RUN]

Writes RUN/saved_model/NAME/1, a TensorFlow SavedModel that classifies whole videos and needs no
code of this project, or RUN/NAME.onnx or RUN/NAME.tflite, the bare network. NAME is that of the
run's folder. A second SavedModel becomes version 2.
"""

import argparse
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fstcn_keras.files import atomic_write
from fstcn_keras.process import set_up_process
from fstcn_keras.runs import chosen_run
from fstcn_keras.views.plan import SCORING_MODES

if TYPE_CHECKING:
    import keras

    from fstcn_keras.classifier import ActionClassifier

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}  # of the formats that are one file


def main(argv: list[str] | None = None) -> None:
    """Writes what the command line asks for; exit code 2 if the input is at fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        help="folder of a training run (default: the newest finished one under runs/)",
    )
    parser.add_argument("--format", choices=("saved_model", *SUFFIXES), default="saved_model")
    parser.add_argument(
        "--out", type=Path, help="folder to write to (default: the run's, for a SavedModel its own)"
    )
    parser.add_argument(
        "--views", choices=SCORING_MODES, default="exact", help="how a SavedModel makes its views"
    )
    options = parser.parse_args(argv)
    set_up_process()
    try:
        run = chosen_run(options.run)
        print(export(run, options.format, out=options.out, mode=options.views))
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def export(
    run: Path, format: str = "saved_model", *, out: Path | None = None, mode: str | None = None
) -> Path:
    """Exports the trained network of a run.

    Args:
        run: the run folder; its name becomes that of the model.
        format: `"saved_model"`: a SavedModel, see `fstcn_keras.export.saved_model`; `"onnx"` or
            `"litert"`: the network alone, from uint8 `clip` and `clip_diff` to `probabilities`.
        out: folder to write to; by default that of the run, or its `saved_model`.
        mode: as for `ActionClassifier.load`; for a SavedModel alone.

    Returns:
        The folder or file written.

    Raises:
        OSError: if the run holds no trained network or the target cannot be written.
        ValueError: if the format has no such scoring mode.
        ImportError: if the format needs a package that is not installed.
        RuntimeError: if Keras does not run on TensorFlow, which a SavedModel needs.
    """
    from fstcn_keras import ActionClassifier  # not before the command line is known to be sound

    if format in SUFFIXES and mode not in (None, "exact"):
        raise ValueError(
            f"`mode` is for a SavedModel; {format} is the network alone. Received: {mode!r}"
        )
    classifier = ActionClassifier.load(run, mode=mode)
    name = run.resolve().name
    if format == "saved_model":
        return write_version(classifier, (out or run / "saved_model") / name)
    file = (out or run) / f"{name}{SUFFIXES[format]}"
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as partial:
        _export_network(classifier.model, partial, format)
    return file


def _export_network(model: "keras.Model", file: Path, format: str) -> None:
    import keras

    from fstcn_keras.acceleration.plain_export import plain_copy

    network = plain_copy(model, classifier_activation="softmax")
    named = keras.Model(network.input, {"probabilities": network.output})
    signature = [
        {
            name: keras.InputSpec(shape=x.shape, dtype=x.dtype, name=name)
            for name, x in network.input.items()
        }
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Keras, about NumPy
        named.export(file, format=format, input_signature=signature, verbose=False)


def write_version(classifier: "ActionClassifier", folder: Path) -> Path:
    """Writes the classifier's SavedModel into the folder, under the next free version number.

    Returns:
        The folder of the version. It is complete, or not there.
    """
    from fstcn_keras.export.saved_model import write_saved_model

    folder.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    version = folder / str(max(versions, default=0) + 1)
    partial = folder / f"{version.name}.partial"
    try:
        write_saved_model(classifier, partial)
        partial.rename(version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return version
