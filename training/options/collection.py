"""Options that say which videos."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.runs import SPLITS, part_text
from training.data.store import ENCODINGS
from training.errors import UserError
from training.parts import check, option

SPLIT_HELP = "number of the split into training and test videos (default: 1)"
LISTS = re.compile(r".*_test_split(\d+)\.txt|testlist(\d+)\.txt")  # of HMDB-51 and UCF-101


@dataclass(frozen=True, kw_only=True)
class CollectionOptions:
    """Which videos, how they are grouped and tested, and how their frames are kept."""

    dataset: Literal["demo", "ucf101", "hmdb51", "folder"] = option(
        "demo", "the collection; demo is rendered on first use"
    )
    data_dir: Path | None = option(None, "folder of the videos; not for demo")
    splits_dir: Path | None = option(None, "folder of the split files, if not inside --data-dir")
    labels: Path | None = option(
        None,
        "of folder: a CSV file of path,label[,split][,group] that names the classes, if folders do "
        "not; paths are relative to --data-dir",
    )
    groups: str | None = option(
        None,
        "of folder: sources of the videos, no one of which is on both sides: a file *.csv with "
        "the columns path,group, or a regular expression searched for in the path below "
        "--data-dir, whose first group or whole match names the source (default: what the names "
        "of files tell, and look-alikes together)",
    )
    classes: str | None = option(
        None, "train and test on these alone, with commas between (default: all that have videos)"
    )
    exclude: Path | None = option(
        None, "leave out the videos that this file names, one path below --data-dir a line"
    )
    ignore_look_alikes: bool = option(
        False,
        "of folder: let videos that look alike, as copies do, be on both sides of the split",
    )
    folds: int | None = option(
        None,
        "cross-validation by so many folds of whole groups; as many as there are groups leave one "
        "group out. With --split the folds are of its training videos, and its test videos are "
        "left alone; without it, for folder, of all videos",
    )
    fold: int | Literal["all"] | None = option(
        None, "the fold whose videos are tested, from 1 (default: all, one after another)"
    )
    fps: float | None = option(
        None,
        "frames per second at which videos are read by time, in training and in every prediction, "
        "so that actions are as fast in all of them (default: frames as the files hold them)",
    )
    frames: Literal[ENCODINGS] = option(
        "jpeg", "how the store keeps frames: raw is faster to read and some ten times larger"
    )

    def __post_init__(self):
        check(self, ["fps"], lambda fps: 0 < fps <= 1000, "lie in (0, 1000]")
        check(self, ["folds"], lambda folds: folds > 1, "be 2 or more")
        if self.folds is None and self.fold is not None:
            raise UserError(f"--fold {self.fold} of how many? Give --folds as well")
        if self.folds is not None and self.fold is None:
            object.__setattr__(self, "fold", "all")
        if self.groups is not None and self.dataset != "folder":
            raise UserError(f"--groups is for --dataset folder, not for {self.dataset}")
        if self.labels is not None and self.dataset != "folder":
            raise UserError(f"--labels is for --dataset folder, not for {self.dataset}")
        if self.labels is not None and self.splits_dir is not None:
            raise UserError("--labels and --splits-dir both name the classes: give one of them")
        for name, given in (("data", self.data_dir), ("splits", self.splits_dir)):
            if given is not None and self.dataset == "demo":
                raise UserError(f"--{name}-dir is not for --dataset demo: name another --dataset")
        if self.folds is not None:
            is_fold = self.fold == "all" or 1 <= self.fold <= self.folds
            check(self, ["fold"], lambda _: is_fold, f"be 1 to {self.folds}, or all")
        if self.groups is not None and self.groups.endswith(".csv"):
            object.__setattr__(self, "groups", str(Path(self.groups).expanduser().resolve()))

    def checked_split(self, split: int | str | None) -> int | str | None:
        """Returns the split, 1 if none is given; `None` where folds are of all videos.

        Raises:
            UserError: if the folds are of no split, or of all, and the videos have splits.
        """
        if self.folds is None:
            return 1 if split is None else split
        if split == "all":
            raise UserError("--folds are of the training videos of one split: give its number")
        if split is None and (self.dataset != "folder" or self.splits_dir is not None):
            raise UserError(
                "--folds are of the training videos of a split where there are split files: give "
                "--split as well"
            )
        return split

    def split_numbers(self) -> tuple[int, ...]:
        """Returns the numbers of the splits that there are lists of; else those of the demo."""
        folder = self.splits_dir
        if folder is None and self.dataset != "folder":  # whose own folder names no splits
            folder = self.data_dir
        inner = ("", "testTrainMulti_7030_splits", "ucfTrainTestlist")
        files = [file for name in inner if folder for file in (folder / name).glob("*.txt")]
        found = {
            int(m[1] or m[2]) for m in map(LISTS.fullmatch, (file.name for file in files)) if m
        }
        return tuple(sorted(found)) or SPLITS

    def part(self, split: int | None) -> str:
        """Returns which split or fold it is, e.g. `split 1`."""
        return part_text(split, self.fold, self.folds)
