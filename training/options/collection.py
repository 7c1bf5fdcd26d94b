"""Options that say which videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.data.store import ENCODINGS
from training.parts import option

SPLIT_HELP = "which of the three splits into training and test videos"


@dataclass(frozen=True, kw_only=True)
class CollectionOptions:
    """Which videos, and how their frames are kept."""

    dataset: Literal["demo", "ucf101", "hmdb51", "folder"] = option(
        "demo", "the collection; demo is rendered on first use"
    )
    data_dir: Path | None = option(None, "folder of the videos; not for demo")
    splits_dir: Path | None = option(None, "folder of the split files, if not inside --data-dir")
    frames: Literal[ENCODINGS] = option(
        "jpeg", "how the store keeps frames: raw is faster to read and some ten times larger"
    )
