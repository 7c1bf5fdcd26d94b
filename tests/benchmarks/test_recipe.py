"""The gains of recipes: which runs there are, and what their accuracies come to."""

from pathlib import Path

import pytest

from benchmarks.recipe import RecipeOptions, compared, planned
from training.cli import UserError
from training.parts import build
from training.scores import RunResult


def test_the_default_is_trained_from_every_seed_and_a_change_from_the_first():
    given = {"changes": ("scales", "adamw"), "seeds": (4, 5), "out": Path("gains")}
    runs = planned(build(RecipeOptions, preset="squeeze", epochs=7, **given))
    assert list(runs) == [("default", 4), ("default", 5), ("scales", 4), ("adamw", 4)]
    assert {run.stages.epochs for run in runs.values()} == {7}
    assert [run.run.seed for run in runs.values()] == [4, 5, 4, 4]
    optimizers = [run.optimization.optimizer for run in runs.values()]
    assert optimizers == ["adam", "adam", "adam", "adamw"]
    assert [run.optimization.scales for run in runs.values()] == [(), (), (1.0, 0.875, 0.75), ()]
    assert runs["adamw", 4].run.out == Path("gains/adamw/seed4")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"split": "all"}, "--split all"), ({"seed": 3}, "--seeds 3"), ({"seeds": ()}, "got none")],
)
def test_what_would_be_several_experiments_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        build(RecipeOptions, **given)


def result(name: str, *, sci: float) -> RunResult:
    fused = {"sci": {"top1": sci}, "average": {"top1": 0.5}, "single": {"top1": 0.25}}
    protocol = {"dataset": "demo", "split": 1, "videos": 2, "num_clips": 5, "num_crops": 18}
    return RunResult(
        run=Path(name),
        protocol=protocol,
        classes=("a", "b"),
        class_names={"a/1.avi": "a", "b/1.avi": "b"},
        accuracies={"video": fused, "clip": fused},
    )


def test_a_gain_is_the_difference_from_the_mean_of_the_default():
    results = {
        ("default", 0): result("one", sci=0.50),
        ("default", 1): result("two", sci=0.60),
        ("scales", 0): result("three", sci=0.53),
    }
    rows = compared(results)
    assert [row["gain of sci, points"] for row in rows] == ["-5.0", "+5.0", "-2.0"]
    assert [row["top-1, sci"] for row in rows] == ["0.500", "0.600", "0.530"]
    assert rows[2]["options"] == "scales (1.0, 0.875, 0.75)"
