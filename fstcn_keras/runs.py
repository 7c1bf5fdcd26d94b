"""Names the files of a run folder, and finds the run or SavedModel that a command means."""

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs")  # where `python -m training.fit` makes them
SPLITS = (1, 2, 3)  # the official ones of UCF-101 and HMDB-51, and those of the demo
PART_FOLDER = re.compile(r"(split|fold)\d+")


def _file(name: str, doc: str) -> property:
    return property(lambda run: run.path / name, doc=doc)


@dataclass(frozen=True)
class RunFolder:
    """Names the files of the folder of a training run.

    Example:
        >>> run = RunFolder(Path("runs/small"))
        >>> str(run.model), run.is_finished()
        ('runs/small/model.keras', False)

    Attributes:
        path: of the folder.
    """

    path: Path

    config = _file("config.yaml", "The options of the run.")
    model = _file("model.keras", "The trained network.")
    classes = _file("classes.txt", "Class names in the order of the labels, one a line.")
    metrics = _file("metrics.json", "The accuracies with their protocol; written last.")
    scores = _file("scores.npz", "Class probabilities of all views of the test videos.")
    training_videos = _file("training_videos.json", "What the network is trained on.")
    pretrained_layers = _file("pretrained_layers.json", "Layers that move at `--scl-rate`.")
    rejected = _file("rejected.csv", "What could not be decoded, or not wholly.")
    history = _file("history.csv", "Loss and accuracy of each epoch.")
    curves = _file("curves.png", "The history, drawn.")
    partial_scores = _file("partial-scores.npz", "Scores of an evaluation that was stopped.")
    rejection = _file("rejection.json", "From when on the network refuses a video.")
    held_out_scores = _file("held-out-scores.npz", "Scores that the rejection was chosen by.")
    class_measures = _file("classes.csv", "Precision, recall and F1 of each class.")
    baseline = _file("baseline.json", "What a linear classifier of the features answers.")
    roc = _file("roc.png", "Of two classes: the ROC curve of the test videos.")
    confusion = _file("confusion.png", "The confusion matrix of the test videos.")
    checkpoints = _file("checkpoints", "Folder of the states that training goes on from.")
    log = _file("log.txt", "What it has printed, of a run on a cluster.")
    logs = _file("logs", "Folder of TensorBoard's files.")
    examples = _file("examples", "Folder of two clips that the page of the server offers.")
    figures = _file("figures", "Folder of what `analysis` draws.")
    summary = _file("splits.json", "The accuracies of `--split all` or `--fold all`.")
    images = _file("images.csv", "Of a pre-training: its images, and which of them are usable.")
    weights = _file("weights.h5", "Of a pre-training: the weights that it ends with.")

    def weights_report(self, network: str) -> Path:
        """Returns the file that says which pre-trained weights a network took over."""
        return self.path / f"weights-{network}.txt"

    def features(self, side: str) -> Path:
        """Returns the file of the features of a side's videos."""
        return self.path / f"features-{side}.npz"

    def split(self, number: int) -> "RunFolder":
        """Returns the folder of a split's run, in that of `--split all`."""
        return RunFolder(self.path / f"split{number}")

    def fold(self, number: int) -> "RunFolder":
        """Returns the folder of a fold's run, in that of `--fold all`."""
        return RunFolder(self.path / f"fold{number}")

    def parts(self) -> list["RunFolder"]:
        """Returns the folders of the splits' or folds' runs that are there."""
        found = [path for path in self.path.glob("*") if PART_FOLDER.fullmatch(path.name)]
        return [RunFolder(path) for path in sorted(found) if path.is_dir()]

    def quoted(self) -> str:
        """Returns the path as it stands in a command of a shell.

        Example:
            >>> RunFolder(Path("runs/our cats")).quoted()
            "'runs/our cats'"
        """
        return shlex.quote(str(self.path))

    def is_finished(self) -> bool:
        """Returns whether the run is trained and evaluated, and still holds its network."""
        return all(file.exists() for file in (self.metrics, self.model, self.classes))

    def has_begun(self) -> bool:
        """Returns whether the folder, or one of its parts, holds what its options have trained."""
        made = (
            file.exists()
            for run in (self, *self.parts())
            for file in (run.checkpoints, run.weights, run.model, run.metrics)
        )
        return any(made)

    def _repr_html_(self) -> str:
        """Returns the accuracy and the recall of each class, for notebooks."""
        from fstcn_keras import html
        from fstcn_keras.video import VideoError, VideoReader

        try:
            metrics = json.loads(self.metrics.read_text(encoding="utf-8"))
            frame = None
            for example in sorted(self.examples.glob("*.mp4"))[:1]:
                with contextlib.suppress(VideoError):
                    reader = VideoReader(example)
                    frame = next(iter(reader.select([reader.count() // 2])))
            return html.run_summary(str(self), metrics, frame)
        except (OSError, LookupError, TypeError, ValueError):
            return f"{html.text(self)}: not evaluated yet"

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


def part_text(split: int | None, fold: int | None = None, folds: int | None = None) -> str:
    """Returns what a run's test videos are: a split, or a fold of cross-validation.

    Example:
        >>> part_text(1)
        'split 1'
        >>> part_text(None, 3, 10)
        'fold 3 of 10'
        >>> part_text(1, 3, 10)
        'fold 3 of 10 of the training videos of split 1'
    """
    if folds is None:
        return f"split {split}"
    text = f"fold {fold} of {folds}"
    return text if split is None else f"{text} of the training videos of split {split}"


def finished_runs(root: Path) -> list[RunFolder]:
    """Returns the evaluated runs in a folder and below it, by name.

    Example:
        >>> finished_runs(Path("no-such-folder"))
        []
    """
    return [RunFolder(file.parent) for file in sorted(root.rglob(RunFolder(root).metrics.name))]


def newest_run(root: Path = RUNS) -> Path:
    """Returns the finished run below the folder whose network was trained last.

    A run is finished when it holds its network and its accuracies, which are written last.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Path(folder) / "small"
        ...     run.mkdir()
        ...     for name in ("model.keras", "metrics.json"):
        ...         (run / name).touch()
        ...     print(newest_run(Path(folder)).name)
        small

    Raises:
        FileNotFoundError: if there is none.
    """
    trained = [run for run in finished_runs(root) if run.model.is_file()]
    if not trained:
        raise FileNotFoundError(
            f"no finished run under {root}/: name the folder of a run, or make one by "
            "'python -m training.fit'"
        )
    return max(trained, key=lambda run: run.model.stat().st_mtime_ns).path


def chosen_run(run: Path | None) -> Path:
    """Returns the run; if none is given the newest finished one, which is named on stderr.

    Example:
        >>> chosen_run(Path("runs/small")).name
        'small'

    Raises:
        FileNotFoundError: see `newest_run`.
    """
    if run is None:
        run = newest_run()
        print(f"taking {run}, the newest finished run", file=sys.stderr)
    return run


def run_and_files(arguments: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Tells a command's `[RUN] FILE...` apart: a folder or a network that comes first is the run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run, files = run_and_files([Path(folder), Path("a.mp4")])
        ...     print(run == Path(folder), [file.name for file in files])
        True ['a.mp4']

    Raises:
        FileNotFoundError: see `newest_run`; or the first does not exist, and has no suffix as files
            have: a run whose name is mistyped, in whose place no other one is taken.
    """
    if arguments and arguments[0].name == RunFolder(Path()).model.name:
        arguments = [arguments[0].parent, *arguments[1:]]
    if arguments and arguments[0].is_dir():
        return arguments[0], list(arguments[1:])
    is_address = bool(arguments) and ":/" in str(arguments[0])  # which the reader refuses as one
    if arguments and not arguments[0].suffix and not arguments[0].exists() and not is_address:
        raise FileNotFoundError(f"{arguments[0]}: there is no such run, nor such a file")
    return chosen_run(None), list(arguments)


def model_name(folder: Path) -> str:
    """Returns the name of the run, or of the SavedModel whose version the folder is.

    Example:
        >>> model_name(Path("runs/small"))
        'small'
    """
    folder = folder.resolve()
    is_version = (folder / "saved_model.pb").is_file() and folder.name.isdecimal()
    return (folder.parent if is_version else folder).name


def saved_model_version(folder: Path) -> Path | None:
    """Returns the folder of a SavedModel, the given one or its newest version's; or `None`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for version in ("9", "10"):
        ...         (Path(folder) / version).mkdir()
        ...         (Path(folder) / version / "saved_model.pb").touch()
        ...     print(saved_model_version(Path(folder)).name)
        10
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [file.parent for file in folder.glob("*/saved_model.pb")]
    numbered = [version for version in versions if version.name.isdecimal()]
    return max(numbered, key=lambda version: int(version.name), default=None)


def example_files(folder: Path) -> list[Path]:
    """Returns the example clips of a run, or of a SavedModel, named `NUMBER-CLASS.mp4`.

    Example:
        >>> example_files(Path("no-such-folder"))
        []
    """
    return sorted((saved_model_version(folder) or folder).glob("examples/*-*.mp4"))
