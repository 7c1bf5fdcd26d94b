"""Options made of parts: flat names, what is filled in, and files of other layouts."""

import dataclasses
import re

import pytest
import yaml

from tests.training.test_cli import error_of
from training import evaluate
from training.errors import UserError
from training.evaluate import EvaluateOptions
from training.experiments import ExperimentOptions
from training.options import FitOptions, differences, read_config, write_config
from training.parts import build, flat, leaves, replaced
from training.predict import PredictOptions
from training.prepare import PrepareOptions
from training.pretrain import PretrainOptions

COMMANDS = (
    *(EvaluateOptions, ExperimentOptions, FitOptions),
    *(PredictOptions, PrepareOptions, PretrainOptions),
)
SHARED = {  # by pre-training and fit
    *("preset", "scl", "recipe", "optimizer", "batch_size", "label_smoothing", "scales"),
    *("epochs", "learning_rate", "val_fraction", "precision", "checkpoint_minutes", "seed", "out"),
}


def names(options_class: type) -> list[str]:
    return [leaf.name for leaf in leaves(options_class)]


def test_commands_share_parts():
    for options_class in COMMANDS:
        assert len(names(options_class)) == len(set(names(options_class)))
    assert set(names(ExperimentOptions)) == {"table", *names(FitOptions)}
    assert set(names(PretrainOptions)) == {"images", *SHARED}
    assert set(names(FitOptions)) > SHARED


def test_a_command_says_in_its_own_words_what_a_shared_option_is():
    helps = {c: {leaf.name: leaf.help for leaf in leaves(c)} for c in COMMANDS}
    assert "pretrain-IMAGES-PRESET" in helps[PretrainOptions]["out"]
    assert "experiments-DATASET-PRESET" in helps[ExperimentOptions]["out"]
    assert "DATASET-SPLIT-PRESET" in helps[FitOptions]["out"]
    assert helps[PretrainOptions]["seed"] == helps[FitOptions]["seed"]


def test_flat_names_reach_their_parts_and_come_back():
    options = build(FitOptions, seed=7, paths=("temporal",), epochs=3, dataset="folder", split=2)
    assert (options.run.seed, options.network.paths) == (7, ("temporal",))
    assert (options.stages.epochs, options.collection.dataset, options.split) == (3, "folder", 2)
    assert build(FitOptions, **flat(options)) == options
    assert replaced(options, seed=7) == options
    assert flat(replaced(options, seed=8)) == flat(options) | {"seed": 8}


def test_an_unknown_name_is_refused():
    with pytest.raises(TypeError, match="FitOptions has no option spilt"):
        build(FitOptions, spilt=1)


def test_what_preset_and_recipe_decide_is_filled_in_a_new_object():
    given = FitOptions()
    options = given.resolved()
    assert given.stages.epochs is None
    assert (options.backbone.scl, options.network.short_side) == ("vgg_m", 120)
    assert (options.optimization.recipe, options.stages.epochs) == ("modern", 40)
    assert options.network.dropout == 0.2
    assert options.resolved() == options
    paper = build(FitOptions, preset="paper", epochs=5)
    assert (paper.optimization.recipe, paper.stages.epochs) == ("paper", 5)
    assert (paper.network.dropout, paper.optimization.optimizer) == (0.5, "sgd")


def test_pre_training_is_stage_two_on_images(tmp_path):
    options = build(PretrainOptions, images=tmp_path, epochs=7, preset="squeeze")
    stage = options.stage_options()
    assert (stage.stages.auxiliary_epochs, stage.stages.auxiliary_rate) == (7, 1e-4)
    assert options.learning_rate == 1e-4
    assert stage.backbone == options.backbone
    assert dataclasses.replace(stage.run) == options.run
    write_config(options, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml", PretrainOptions) == options


def test_experiments_differ_from_fit_in_the_table_alone():
    options = build(ExperimentOptions, table="table2", seed=3)
    assert options.fit == build(FitOptions, seed=3)


@pytest.mark.parametrize("names", [["seed"], ["dataset"], ["epochs", "short_side"]])
def test_a_config_that_lacks_an_option_is_refused_in_one_line(capsys, tmp_path, names):
    """Today's default may be another than that of the run."""
    file = tmp_path / "config.yaml"
    write_config(build(FitOptions), file)
    written = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({n: x for n, x in written.items() if n not in names}))
    error = error_of(capsys, evaluate.main, EvaluateOptions, tmp_path)
    assert f"{file} is of an older version and lacks {', '.join(names)}: add what" in error


def test_where_a_run_lies_makes_no_difference(tmp_path):
    one = build(FitOptions, out=tmp_path / "one", store=tmp_path / "a")
    other = build(FitOptions, out=tmp_path / "other", epochs=2)
    assert differences(one, other) == ["epochs: 40, not 2", "min_steps: 200, not 0"]


def test_a_config_from_before_folds_and_starts_is_that_of_a_split(tmp_path):
    file, options = tmp_path / "config.yaml", build(FitOptions, split=2, seed=7, min_steps=0)
    write_config(options, file)
    new = ("groups:", "folds:", "fold:", "start_from:", "min_steps:")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(new)))
    assert len(file.read_text().splitlines()) == len(lines) - 5
    assert read_config(file) == options


@pytest.mark.parametrize("given", [{}, {"preset": "lite", "scl_weights": "imagenet"}])
def test_an_older_config_is_of_dense_clips_and_of_one_view_for_both_paths(tmp_path, given):
    then = {"sampling": "dense", "path_views": "same"}
    file, options = tmp_path / "config.yaml", build(FitOptions, **then, **given)
    write_config(options, file)
    lines = file.read_text().splitlines(keepends=True)
    new = ("sampling:", "path_views:")
    file.write_text("".join(line for line in lines if not line.startswith(new)))
    assert len(file.read_text().splitlines()) == len(lines) - 2
    assert read_config(file) == options
    today = build(FitOptions, **given)
    assert today.network.sampling == ("sparse" if given else "dense")
    assert today.stages.path_views == ("independent" if given else "same")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"num_clips": 1001},
            "--num-clips must be a positive integer, at most 1000. Received: 1001",
        ),
        ({"stride": 100_001}, "--stride must be a positive integer, at most 100000."),
        ({"distance": 100_001}, "--distance must be a positive integer, at most 100000."),
        ({"short_side": 16385}, "--short-side must be a positive integer, at most 16384."),
    ],
)
def test_views_that_cannot_be_scored_are_refused_before_training(given, message):
    with pytest.raises(UserError, match=re.escape(message)):
        build(FitOptions, **given)
    (name, value), *_ = given.items()
    assert flat(build(FitOptions, **{name: value - 1}))[name] == value - 1


LITE = {"preset": "lite", "epochs": 15}
HEAD = {"scl_weights": "imagenet", "head_epochs": 3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**LITE, "encoded_views": 8}, "--encoded-views 8 is for epochs of the head"),
        ({**LITE, "path_views": "independent"}, "--path-views independent is for encoded views"),
        ({"encoded_views": 2, "scl_weights": "imagenet"}, "--encoded-views 2 is for epochs"),
        ({**HEAD, "path_views": "independent"}, "--path-views independent is for encoded views"),
        (
            {**HEAD, "preset": "lite", "encoded_views": 0, "path_views": "independent"},
            "--path-views independent is for encoded views",
        ),
    ],
)
def test_encoded_views_without_effect_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        build(FitOptions, **given)


@pytest.mark.parametrize(
    "given",
    [
        LITE,
        {**LITE, "encoded_views": 0, "path_views": "same"},
        {**HEAD, "encoded_views": 2, "path_views": "independent"},
        {"preset": "lite", "scl_weights": "imagenet", "encoded_views": 2},
    ],
)
def test_encoded_views_with_effect_or_of_the_recipe_are_not_refused(given):
    options = build(FitOptions, **given)
    assert {name: flat(options)[name] for name in given} == given


@pytest.mark.parametrize("lacking", [(), ("min_steps", "path_views", "sampling")])
def test_a_run_that_was_given_encoded_views_without_effect_can_be_read(tmp_path, lacking):
    """Fit took them once, and gave them no attention."""
    options = build(FitOptions, **LITE)
    write_config(replaced(options, encoded_views=4), tmp_path / "config.yaml")
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    kept = {name: value for name, value in written.items() if name not in lacking}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(kept))
    found = read_config(tmp_path / "config.yaml")
    assert (found.stages.encoded_views, found.stages.head_epochs) == (4, 0)
