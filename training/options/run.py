"""Options of a run, whatever is trained in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.parts import check, option


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is held out, in which numbers it is computed, and where the results go."""

    val_fraction: float = option(
        0.0,
        "share of the training videos, whole groups, held out to choose the best epoch; "
        "0 trains on all of them and keeps the last epoch",
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = option(
        "auto",
        "number format of training; auto is mixed_bfloat16 where the processor computes in it, "
        "float32 elsewhere",
    )
    checkpoint_minutes: float = option(
        10.0,
        "minutes between two checkpoints within an epoch; an epoch ends with one too, unless "
        "saving would take more than a tenth of the time",
    )
    seed: int = option(0, "seed of initialisation, sampling and dropout")
    out: Path | None = option(None, "run folder (default: runs/DATASET-SPLIT-PRESET)")

    def __post_init__(self):
        check(self, ["seed", "checkpoint_minutes"], lambda value: value >= 0, "not be negative")
        check(self, ["seed"], lambda seed: seed < 2**31, "be below 2^31")
        check(self, ["val_fraction"], lambda share: 0 <= share < 1, "lie in [0, 1)")
