"""The run that a command looks at: its options, its network and its videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras.runs import RunFolder
from training.data.collections import Dataset, Video
from training.data.splits import decodable, open_data
from training.data.store import FrameStore
from training.errors import UserError
from training.evaluation import check_test_videos
from training.networks import check_network_classes, load_classifier
from training.options import FitOptions, read_config
from training.parts import option, positional, replaced
from training.scores import RunScores, protocol_part, views_text

if TYPE_CHECKING:
    from fstcn_keras import ActionClassifier


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """Which run to draw, and where to."""

    run: Path | None = positional(
        "folder of a training run (default: the newest finished one under runs/)", default=None
    )
    out: Path | None = option(None, "folder of the figures (default: figures in the run)")


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run with all that is needed to put its network before its videos.

    Attributes:
        folder: the run folder.
        options: what it was trained with.
        classifier: its network.
        dataset: the split or fold.
        store: the decoded frames.
    """

    folder: RunFolder
    options: FitOptions
    classifier: "ActionClassifier"
    dataset: Dataset
    store: FrameStore

    def videos(self, side: str) -> list[Video]:
        """The videos of a side, `"test"` or `"train"`, that can be decoded.

        Raises:
            UserError: see `check_test_videos`.
        """
        if side == "test":
            return check_test_videos(self.dataset, self.store, self.folder)
        return decodable(self.dataset.side(side), self.store)

    def middle_frame(self, path: str) -> np.ndarray:
        """The frame in the middle of a video, uint8 `(height, width, 3)`."""
        return self.store.read_frames(path, [self.store.videos[path].num_frames // 2])[0]


def read_options(run: RunFolder) -> FitOptions:
    """What a run of one split or fold was trained with.

    Raises:
        UserError: if the folder is no run, or one of `fit --split all` or `--fold all`.
    """
    options = replaced(read_config(run.config), out=run.path)
    if options.is_series:
        each = ", ".join(str(one.run_folder()) for one in options.each_split())
        raise UserError(f"{run} holds a run for each split or fold: name one of {each}")
    return options


def open_run(run: RunFolder, *, num_clips: int | None = None) -> OpenRun:
    """Loads the network and opens the data of a run.

    Args:
        run: the folder.
        num_clips: M of the network's plan; `None` for that of its training.

    Raises:
        UserError: if one of them cannot be had, or they do not belong together.
    """
    options = read_options(run)
    classifier = load_classifier(run, num_clips=num_clips)
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=classifier.plan.short_side
    )
    check_network_classes(classifier, dataset)
    return OpenRun(folder=run, options=options, classifier=classifier, dataset=dataset, store=store)


def figures_folder(run: RunFolder, out: Path | None) -> Path:
    """Where a command's files go: `--out`, or `figures` in the run; made if it is not there."""
    folder = run.figures if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def protocol_text(scores: RunScores, options: FitOptions) -> str:
    """What the scores of a run were measured on, for captions."""
    protocol = scores.protocol
    left_out = protocol["missing"] + protocol["rejected"]
    return (
        f"{protocol['dataset']} {protocol_part(protocol)}: {protocol['videos']} test videos of "
        f"{protocol['num_classes']} classes{f' ({left_out} more not readable)' * bool(left_out)}, "
        f"{views_text(protocol)} a video; {network_text(options)}"
    )


def network_text(options: FitOptions) -> str:
    """Which network it is, and its seed, for captions."""
    return (
        f"preset {options.preset_text()}, paths {' + '.join(options.network.paths)}, "
        f"trained with seed {options.run.seed}"
    )
