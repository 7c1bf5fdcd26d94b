"""Which run starts from which."""

from pathlib import Path

import pytest

from benchmarks.start_from import StartFromOptions
from training.errors import UserError
from training.parts import build

LITE = {"preset": "lite", "scl_weights": "imagenet", "folds": 3, "out": Path("o")}


@pytest.mark.parametrize(
    ("fold", "starts", "folders"),
    [
        (2, ["o/first-seed1"], ["o/continued-seed1"]),
        (
            "all",
            [f"o/first-seed1/fold{n}" for n in (1, 2, 3)],
            [f"o/continued-seed1/fold{n}" for n in (1, 2, 3)],
        ),
    ],
)
def test_each_run_starts_from_that_of_its_fold(fold, starts, folders):
    options = build(StartFromOptions, dataset="folder", data_dir=Path("d"), fold=fold, **LITE)
    runs = options.continued(["b", "d"], 1)
    assert [str(run.network.start_from) for run in runs] == starts
    assert [str(run.run_folder()) for run in runs] == folders
    assert {run.collection.classes for run in runs} == {"b,d"}
    first = options.runs("first", ["a", "c"], 1)
    assert [str(run.run_folder()) for run in first] == starts
    assert all(run.network.start_from is None for run in first)


def test_heads_alone_are_trained():
    with pytest.raises(UserError, match="give --epochs 0 --head-epochs N --encoded-views N"):
        build(StartFromOptions, dataset="demo", preset="small")
