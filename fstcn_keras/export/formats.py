"""Hands a run to production: python -m fstcn_keras.export [RUN]

Writes RUN/saved_model/NAME/1, a TensorFlow SavedModel that classifies whole videos and needs no
code of this project, or RUN/NAME.onnx or RUN/NAME.tflite, the bare network. NAME is that of the
run's folder. A second SavedModel becomes version 2. With `--quantize int8` the bare network is
RUN/NAME.int8.onnx or RUN/NAME.int8.tflite, and its accuracy is printed beside that of float32.
"""

import argparse
import shutil
import sys
import tempfile
import uuid
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstcn_keras.clips import NUM_CROPS
from fstcn_keras.command_line import CommandParser
from fstcn_keras.description import description_texts
from fstcn_keras.error_texts import error_text, reason_of
from fstcn_keras.export.calibration import RunVideos, calibration_files, calibration_views
from fstcn_keras.files import atomic_write
from fstcn_keras.process import set_up_process
from fstcn_keras.runs import RunFolder, chosen_run
from fstcn_keras.views.plan import SCORING_MODES

if TYPE_CHECKING:
    import keras

    from fstcn_keras.classifier import ActionClassifier
    from fstcn_keras.export.quantization import Views

QUANTIZATIONS = ("int8",)
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}  # of the formats that are one file


def main(argv: list[str] | None = None) -> None:
    """Writes what the command line asks for; exit code 2 if the input is at fault."""
    parser = CommandParser(
        prog="python -m fstcn_keras.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    parser.add_argument(
        "--quantize",
        choices=QUANTIZATIONS,
        help="numbers of the network, for --format onnx or litert (default: float32)",
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE_OR_FOLDER",
        help="videos that --quantize takes the ranges of numbers from (default: those that the run "
        "was trained on)",
    )
    options = parser.parse_args(argv)
    set_up_process()
    try:
        run, calibration = chosen_run(options.run), options.calibration
        how = {"quantize": options.quantize, "calibration": calibration}
        exported = _export(run, options.format, out=options.out, mode=options.views, **how)
        print(exported.file, flush=True)
        if options.quantize:
            print(_comparison_text(exported))
    except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
        print(f"error: {error_text(error)}", file=sys.stderr)
        sys.exit(2)


def export(
    run: Path,
    format: str = "saved_model",
    *,
    out: Path | None = None,
    mode: str | None = None,
    quantize: str | None = None,
    calibration: Sequence[Path] = (),
) -> Path:
    """Exports the trained network of a run.

    Args:
        run: the run folder; its name becomes that of the model.
        format: `"saved_model"`: a SavedModel, see `fstcn_keras.export.saved_model`; `"onnx"` or
            `"litert"`: the network alone, from uint8 `clip` and `clip_diff` to `probabilities`,
            with the class names and the view plan in the file, see `describe`.
        out: folder to write to; by default that of the run, or its `saved_model`.
        mode: as for `ActionClassifier.load`; for a SavedModel alone.
        quantize: `"int8"` or, for float32, `None`; not for a SavedModel.
        calibration: videos, or folders of them, that int8 takes the ranges of numbers from; by
            default those that the run was trained on.

    Returns:
        The folder or file written.

    Raises:
        OSError: if the run holds no trained network, the target cannot be written, or videos to
            calibrate by are not found.
        ValueError: if the format has no such scoring mode or numbers, or no video can be read.
        ImportError: if the format needs a package that is not installed.
        RuntimeError: if Keras does not run on TensorFlow, which a SavedModel needs.
    """
    exported = _export(run, format, out=out, mode=mode, quantize=quantize, calibration=calibration)
    return exported.file


@dataclass(frozen=True, kw_only=True)
class _Exported:
    """What was written, of which network; and the run's videos and those of the calibration."""

    file: Path
    classifier: "ActionClassifier"
    videos: RunVideos
    calibration: Sequence[Path]


def _export(
    run: Path,
    format: str,
    *,
    out: Path | None,
    mode: str | None,
    quantize: str | None,
    calibration: Sequence[Path],
) -> _Exported:
    from fstcn_keras import ActionClassifier  # not before the command line is known to be sound

    if format in SUFFIXES and mode not in (None, "exact"):
        raise ValueError(
            f"`mode` is for a SavedModel; {format} is the network alone. Received: {mode!r}"
        )
    _check_quantization(format, quantize, calibration)
    chosen, videos = [], RunVideos(training=(), test={})
    if quantize:
        videos = RunVideos.of(RunFolder(run), folders=calibration)
        chosen = calibration_files(RunFolder(run), videos, calibration)
    classifier = ActionClassifier.load(run, mode=mode)
    name = run.resolve().name
    if format == "saved_model":
        folder = write_version(classifier, (out or run / "saved_model") / name)
        return _Exported(file=folder, classifier=classifier, videos=videos, calibration=chosen)
    numbers = f".{quantize}" if quantize else ""
    file = (out or run) / f"{name}{numbers}{SUFFIXES[format]}"
    file.parent.mkdir(parents=True, exist_ok=True)
    views = list(calibration_views(chosen, classifier.plan)) if quantize else []
    with atomic_write(file) as partial:
        _export_network(classifier.model, partial, format, views)
        describe(partial, description_texts(classifier.classes, classifier.plan))
    return _Exported(file=file, classifier=classifier, videos=videos, calibration=chosen)


def _check_quantization(format: str, quantize: str | None, calibration: Sequence[Path]) -> None:
    if quantize not in (None, *QUANTIZATIONS):
        raise ValueError(f"`quantize` must be one of {QUANTIZATIONS}. Received: {quantize!r}")
    if quantize and format not in SUFFIXES:
        raise ValueError(
            f"--quantize is for the formats {' and '.join(SUFFIXES)}. Received: {format}"
        )
    if calibration and not quantize:
        raise ValueError("--calibration is for --quantize int8: give both, or neither")


def _export_network(
    model: "keras.Model", file: Path, format: str, views: Sequence["Views"] = ()
) -> None:
    """Writes the network alone, in int8 if there are views to calibrate by."""
    from fstcn_keras.export.quantization import litert_options, quantize_onnx

    if not views:
        _export_float32(model, file, format)
    elif format == "litert":
        _export_float32(model, file, format, **litert_options(views))
    else:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "float32.onnx"
            _export_float32(model, source, format)
            quantize_onnx(source, file, views)


def _export_float32(model: "keras.Model", file: Path, format: str, **options: Any) -> None:
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
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        named.export(file, format=format, input_signature=signature, verbose=False, **options)


def describe(file: Path, texts: dict[str, str]) -> None:
    """Puts texts into an exported file: class names and view plan travel with the network.

    They become metadata of an ONNX file. Behind a LiteRT file they stand as a zip archive, as
    TensorFlow Lite's metadata have the files that belong to a network.

    Args:
        file: `*.onnx` or `*.tflite`.
        texts: by name, see `description.description_texts`.
    """
    if file.suffix == ".tflite":
        with zipfile.ZipFile(file, "a") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
        return
    import onnx

    model = onnx.load(file)
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, file)


def _comparison_text(exported: _Exported) -> str:
    """Says how a network in int8 compares with the one in float32: answers and size."""
    from fstcn_keras.export.comparison import compare

    classifier, file, files = exported.classifier, exported.file, exported.calibration
    found = compare(classifier, file, videos=exported.videos, calibration=files)
    weights = 4 * classifier.model.count_params()
    clips = classifier.plan.num_clips
    views = f"{clips} clip{'s' if clips > 1 else ''} x {NUM_CROPS} crops"
    return (
        f"calibrated by {len(files)} videos; {file.stat().st_size / 1e6:.1f} MB, the weights in "
        f"float32 {weights / 1e6:.1f} MB\n{found.text(views)}"
    )


def write_version(classifier: "ActionClassifier", folder: Path) -> Path:
    """Writes the classifier's SavedModel into the folder, under the next free version number.

    Returns:
        The folder of the version. It is complete, or not there.
    """
    from fstcn_keras.export.saved_model import write_saved_model

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{uuid.uuid4().hex}.partial"  # another process may export here, too
    try:
        try:
            write_saved_model(classifier, partial)
        except OSError as error:
            raise OSError(f"{folder} cannot be written: {reason_of(error)}") from error
        while True:
            versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
            version = folder / str(max(versions, default=0) + 1)
            try:
                return partial.rename(version)
            except OSError:
                if not version.exists():  # by now
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
