"""A run that starts from another one: what it takes, what it leaves, and what it must not know."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from keras import ops

from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import named_layers, save_weights
from tests.training.test_cli import error_of
from tests.training.test_cross_validation import arguments as spatial_arguments
from tests.training.test_cross_validation import data
from training import cli, fit, stages
from training.data.collections import Video
from training.data.splits import open_data
from training.errors import UserError
from training.fitting import check_starts
from training.leakage import LearnedVideos, check_leakage, learned_videos, record_training_videos
from training.networks import load_classifier
from training.options import FitOptions, read_config
from training.options.start import run_values
from training.parts import build, replaced
from training.tables import training_text

__all__ = ["data"]  # a fixture


def arguments(data, out, *more: str) -> list[str]:
    return [*spatial_arguments(data, out), "--paths", "spatial", "temporal", *more]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run of fold 1: it was not trained on Ann's videos."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    cli.run(fit.main, FitOptions, arguments(data, folder, "--fold", "1"))
    return RunFolder(folder)


@pytest.fixture(scope="module")
def videos(run):
    options = read_config(run.config)
    dataset, store = open_data(options.collection, None, options.store, short_side=120)
    return stages.TrainingVideos(
        store=store,
        train=dataset.side("train"),
        held_out=[],
        num_classes=2,
        classes=dataset.classes,
    )


def options_from(run: RunFolder, **changes) -> FitOptions:
    options = replaced(read_config(run.config), start_from=run.path, out=None)
    return replaced(options, **changes)


def stage_from(run, videos, tmp_path, **changes):
    """The stage of the whole network, not trained yet."""
    options = options_from(run, **changes)
    return stages.clip_stage("global", options, videos, RunFolder(tmp_path), before=None)


def other_classes(videos, *classes: str) -> stages.TrainingVideos:
    return stages.TrainingVideos(
        store=videos.store,
        train=videos.train,
        held_out=[],
        num_classes=len(classes),
        classes=classes,
    )


def weights_of(model) -> dict[str, np.ndarray]:
    return {f"{layer.name} {number}": ops.convert_to_numpy(variable)
            for layer in named_layers(model).values()
            for number, variable in enumerate(layer.weights)}  # fmt: skip


def is_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, bool]:
    return {name: np.array_equal(one[name], other[name]) for name in one.keys() & other.keys()}


def classifier_of(model) -> list[np.ndarray]:
    return model.classifier.get_weights()


def test_the_whole_network_and_the_state_of_its_optimiser(run, videos, tmp_path, capsys):
    stage = stage_from(run, videos, tmp_path)
    saved = load_classifier(run).model
    assert set(weights_of(stage.model)) == set(weights_of(saved))
    assert all(is_same(weights_of(stage.model), weights_of(saved)).values())
    for one, other in zip(classifier_of(stage.model), classifier_of(saved), strict=True):
        np.testing.assert_array_equal(one, other)

    (checkpoint,) = sorted(run.checkpoints.glob("global-*.npz"))[-1:]
    with np.load(checkpoint) as arrays:
        held = [arrays[name] for name in sorted(arrays) if name.startswith("optimizer ")]
    iterations, *slots = held[:-1]
    assert (int(iterations), int(held[-1])) == (1, 0)  # an epoch of one step, none before
    ours = [ops.convert_to_numpy(variable) for variable in stage.optimizer.variables]
    assert len(ours) == len(held)
    assert sum(np.abs(slot).max() > 0 for slot in slots) > len(slots) / 2
    for one, other in zip(ours[1:-1], slots, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (int(ours[0]), int(ours[-1])) == (0, 1)
    assert f"; the optimiser goes on with its state of {run}\n" in capsys.readouterr().out


@pytest.mark.parametrize("classes", [("red", "green"), ("green", "red", "white")])
def test_the_classifier_is_of_its_classes(run, videos, tmp_path, capsys, classes):
    stage = stage_from(run, other_classes(videos, *classes), tmp_path)
    saved = load_classifier(run).model
    assert all(is_same(weights_of(stage.model), weights_of(saved)).values())
    kernel, bias = classifier_of(stage.model)
    assert kernel.shape[1] == len(classes)
    assert not np.array_equal(kernel, classifier_of(saved)[0])
    assert not bias.any()
    report = RunFolder(tmp_path).weights_report("fstcn").read_text().splitlines()
    assert report[0] == str(run)
    left = [line for line in report if line.startswith("left as initialised")]
    assert [line.split()[3] for line in left] == ["logits/kernel", "logits/bias"]
    assert all(
        "the classifier there is of 2 other classes or in another order" in line for line in left
    )
    printed = capsys.readouterr().out
    assert "starts anew: not the whole network is as it was there" in printed
    assert "2 left as initialised, 0 of the file unused" in printed


def test_a_network_of_other_paths_takes_what_it_shares(run, videos, tmp_path):
    stage = stage_from(run, videos, tmp_path, paths=("temporal",))
    saved = weights_of(load_classifier(run).model)
    same = is_same(weights_of(stage.model), saved)
    assert {"tcl 0", "conv1 0"} & same.keys()
    changed = {name.split()[0] for name, equal in same.items() if not equal}
    report = RunFolder(tmp_path).weights_report("fstcn").read_text()
    left = set(re.findall(r"^left as initialised  ([^/]+)/", report, re.MULTILINE))
    assert changed <= left
    assert "logits" in left  # of other features
    unused = set(re.findall(r"^unused +(\w+), tensor", report, re.MULTILINE))
    assert unused == {name.split()[0] for name in saved.keys() - weights_of(stage.model).keys()}
    assert "parallel_scl" in unused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"optimizer": "sgd"}, "it was adam there"), ({"optimizer": "adamw"}, "it was adam there")],
)
def test_the_state_of_another_optimiser_is_left(run, videos, tmp_path, capsys, changes, reason):
    stage = stage_from(run, videos, tmp_path, **changes)
    assert f"; the optimiser starts anew: {reason}\n" in capsys.readouterr().out
    assert not any(ops.convert_to_numpy(variable).any() for variable in stage.optimizer.variables)


def test_a_state_that_is_not_of_the_kept_network_is_left(run, videos, tmp_path, capsys):
    copy = RunFolder(shutil.copytree(run, tmp_path / "copy"))
    classifier = load_classifier(copy)
    classifier.model.classifier.set_weights([w + 1 for w in classifier_of(classifier.model)])
    classifier.save(copy.path)
    stage_from(copy, videos, tmp_path)
    assert "its last epoch is not the one that was kept there" in capsys.readouterr().out
    shutil.rmtree(copy.checkpoints)
    stage_from(copy, videos, tmp_path)
    assert "there is no checkpoint of this stage there" in capsys.readouterr().out


def test_layers_that_were_pre_trained_before_stay_slow(run, videos, tmp_path, capsys):
    copy = RunFolder(shutil.copytree(run, tmp_path / "copy"))
    copy.pretrained_layers.write_text(json.dumps(["conv1", "conv2"]))
    stage = stage_from(copy, videos, tmp_path, scl_rate=0.0)
    layers = named_layers(stage.model)
    assert {name for name, layer in layers.items() if not layer.trainable} == {"conv1", "conv2"}
    assert json.loads(RunFolder(tmp_path).pretrained_layers.read_text()) == ["conv1", "conv2"]
    assert "the optimiser starts anew: other variables are trained here" in capsys.readouterr().out


def test_the_head_is_trained_on_what_was_taken(run, videos, tmp_path):
    options = options_from(run, head_epochs=1)
    new = other_classes(videos, "a", "b")
    stage = stages.clip_stage("head", options, new, RunFolder(tmp_path), before=None)
    names = {variable.path.split("/")[-2] for variable in stage.model.trainable_variables}
    assert names == {"logits"}


def test_frames_may_come_first(run, videos, tmp_path, capsys):
    copy = RunFolder(shutil.copytree(run, tmp_path / "copy"))
    copy.pretrained_layers.write_text(json.dumps(["conv1", "spatial_fc", "tcl"]))
    options = options_from(copy, auxiliary_epochs=1, auxiliary_scl_rate=0.0)
    frames = stages.auxiliary_stage(options, videos, RunFolder(tmp_path)).model
    same = is_same(weights_of(frames), weights_of(load_classifier(run).model))
    assert len(same) == len(weights_of(frames))
    assert all(same.values())
    fixed = {name for name, layer in named_layers(frames).items() if not layer.trainable}
    assert fixed == {"conv1"}  # spatial_fc is one of the last three
    assert "2 left as initialised" in capsys.readouterr().out
    stages.clip_stage("global", options, videos, RunFolder(tmp_path), before=frames)
    assert "anew: not the whole network is as it was there" in capsys.readouterr().out


def test_what_decides_the_network_comes_from_the_run(run, data, tmp_path):
    config = run.config.read_text()
    copy = RunFolder(tmp_path / "other")
    copy.path.mkdir()
    for old, new in (("preset: small", "preset: squeeze"), ("scl: vgg_m", "scl: squeezenet"),
                     ("dropout: 0.2", "dropout: 0.35"), ("- spatial\n", ""),
                     ("short_side: 120", "short_side: 210")):  # fmt: skip
        assert old in config
        config = config.replace(old, new)
    copy.config.write_text(config)
    options = build(FitOptions, start_from=copy.path)
    assert (options.backbone.preset, options.backbone.scl) == ("squeeze", "squeezenet")
    assert (options.network.dropout, options.network.short_side) == (0.35, 210)
    assert options.network.paths == ("temporal",)
    assert options.stages.auxiliary_epochs == 0
    assert options.collection.dataset == "demo"
    assert "demo-split1-squeeze-temporal-from-other" in str(options.run_folder())
    assert "from run other" in training_text(options)
    given = build(FitOptions, start_from=copy.path, dropout=0.1, paths=("spatial",),
                  auxiliary_epochs=3)  # fmt: skip
    assert (given.network.dropout, given.network.paths) == (0.1, ("spatial",))
    assert given.stages.auxiliary_epochs == 3


def refusal(capsys, data, tmp_path, *more: object) -> str:
    options = arguments(data, tmp_path / "run", *map(str, more))
    return error_of(capsys, fit.main, FitOptions, *options)


def test_starts_that_are_refused(run, data, tmp_path, capsys):
    first = ("--fold", "1")
    error = refusal(capsys, data, tmp_path, *first, "--start-from", run, "--scl-weights", "w.h5")
    assert "--start-from takes over the layers that --scl-weights would load" in error
    error = refusal(capsys, data, tmp_path, *first, "--start-from", tmp_path / "none")
    assert "none is not the folder of a training run" in error
    error = refusal(capsys, data, tmp_path, *first, "--start-from", run, "--preset", "squeeze")
    assert f"--preset squeeze is not that of --start-from {run}, small: leave it out" in error
    error = refusal(capsys, data, tmp_path, *first, "--start-from", run, "--initialization", "mean")
    assert "--initialization mean is not that of" in error
    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / "metrics.json").unlink()
    error = refusal(capsys, data, tmp_path, *first, "--start-from", unfinished)
    assert "unfinished is no finished run: finish it first" in error


def test_a_test_video_that_the_run_has_learned_from(run, data, tmp_path, capsys):
    error = refusal(capsys, data, tmp_path, "--fold", "2", "--start-from", run)
    assert re.search(r"learned from 2 of the test videos of fold 2 of 3, e\.g\. green/bob4", error)
    assert "start from a run of the same split or fold, or of other videos" in error


def test_what_must_fail_later_is_refused_before_training(run, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stages, "clip_stage", lambda *_, **__: pytest.fail("it is trained"))
    error = refusal(capsys, data, tmp_path, "--fold", "all", "--start-from", run)
    assert "learned from 2 of the test videos of fold 2 of 3" in error

    series = tmp_path / "series"
    shutil.copytree(run, series / "fold1")
    template = series / "fold{fold}"
    error = refusal(capsys, data, tmp_path, "--fold", "all", "--start-from", template)
    assert f"--start-from {series / 'fold2'} is not the folder of a training run" in error
    shutil.copytree(run, series / "fold2")
    error = refusal(capsys, data, tmp_path, "--fold", "all", "--start-from", template)
    assert f"{series / 'fold2'}, or what it started from, has learned from 2" in error
    shutil.copy(run.config, series)
    error = refusal(capsys, data, tmp_path, "--fold", "1", "--start-from", series)
    assert (
        f"holds a run for each fold: name one of them, or with --fold each one's own, {template}"
        in error
    )
    error = refusal(capsys, data, tmp_path, "--fold", "1", "--start-from", f"{series}/x{{split}}")
    assert "x{split} is not the folder of a training run" in error


def test_weights_of_each_split_are_looked_for_before_training(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stages, "clip_stage", lambda *_, **__: pytest.fail("it is trained"))
    options = build(FitOptions, scl_weights=tmp_path / "w{split}.h5", split="all", out=tmp_path)
    assert options.network.scl_weights == tmp_path / "w{split}.h5"
    weights = [one.network.scl_weights for one in options.each_split()]
    assert weights == [tmp_path / f"w{split}.h5" for split in (1, 2, 3)]
    assert build(FitOptions, scl_weights=weights[1], split=2).network == replaced(
        options, split=2).network  # fmt: skip

    model = stages.initial_network(build(FitOptions, paths=("spatial",)), num_classes=2)
    save_weights(model, tmp_path / "w1.h5", videos=["other/1.avi"])
    given = ("--scl-weights", tmp_path / "w{fold}.h5", "--fold", "all")
    error = refusal(capsys, data, tmp_path, *given)
    assert f"--scl-weights must be a file, got {tmp_path / 'w2.h5'}" in error
    save_weights(model, tmp_path / "w2.h5", videos=["green/bob4.avi"])
    error = refusal(capsys, data, tmp_path, *given)
    assert (
        "w2.h5 has learned from frames of 1 of this split's test videos, e.g. green/bob4" in error
    )


def test_videos_of_earlier_runs_are_remembered(data, tmp_path):
    """First to second to third: a video is known by its content, or by its path if need be."""
    first, second, third = (RunFolder(tmp_path / name) for name in ("first", "second", "third"))
    for run in (first, second, third):
        run.path.mkdir()
    trained = [Video("a/1.avi", 0, "train", "1"), Video("a/2.avi", 0, "train", "2")]
    weights = LearnedVideos(paths=frozenset(["old/1.avi"]))
    hashes = {"a/1.avi": "one", "b/9.avi": "nine"}
    record_training_videos(
        first, train=trained[:1], held_out=trained[1:], hashes=hashes, before=weights
    )
    first.model.touch()
    learned = learned_of(first)
    assert learned == LearnedVideos(
        sha256=frozenset(["one"]), paths=frozenset(["a/2.avi", "old/1.avi"])
    )
    record_training_videos(
        second, train=[Video("c/1.avi", 0, "train", "1")], held_out=[], before=learned
    )
    second.model.touch()
    learned = learned_of(second)
    assert learned.sha256 == {"one"}
    assert learned.paths == {"a/2.avi", "old/1.avi", "c/1.avi"}
    tests = [Video(path, 0, "test", path) for path in ("a/1.avi", "x/moved.avi", "old/1.avi")]
    hashes = {"a/1.avi": "another file of this name", "x/moved.avi": "one"}
    assert learned.among(tests, hashes) == ["old/1.avi", "x/moved.avi"]
    check_leakage(second, tests[:1], hashes)
    with pytest.raises(UserError, match=r"started from what has learned 1 of .*x/moved\.avi"):
        check_leakage(second, tests[:2], hashes)


def learned_of(run: RunFolder) -> LearnedVideos:
    """What a training that starts from the run would start from."""
    options = build(FitOptions)
    network = type(options.network)(**{**vars(options.network), "start_from": run.path})
    return learned_videos(type(options)(**{**vars(options), "network": network}))


def test_more_epochs(run, data, tmp_path, capsys):
    options = arguments(data, tmp_path / "more", "--fold", "1", "--start-from", str(run))
    cli.run(fit.main, FitOptions, options)
    printed = capsys.readouterr().out
    assert "0 left as initialised, 0 of the file unused" in printed
    (line,) = re.findall(r"^stage global: .*steps(.*)$", printed, re.MULTILINE)
    assert line == f", chance 50.0%; the optimiser goes on with its state of {run}"
    more = RunFolder(tmp_path / "more")
    assert read_config(more.config).network.start_from == run.path
    record = json.loads(more.training_videos.read_text())
    before = json.loads(run.training_videos.read_text())
    assert record["before"]["sha256"] == sorted(before["sha256"].values())
    assert len(record["before"]["sha256"]) == 4
    assert record["root"] == str(data.resolve())  # where an export finds them
    (checkpoint,) = sorted(more.checkpoints.glob("global-*.npz"))[-1:]
    with np.load(checkpoint) as arrays:
        names = sorted(name for name in arrays if name.startswith("optimizer "))
        assert (int(arrays[names[0]]), int(arrays[names[-1]])) == (1, 1)


def test_each_fold_starts_from_its_own(run, data, tmp_path):
    """Runs of all folds, each of which knows the videos of the two others' persons."""
    record = json.loads(run.training_videos.read_text())
    dataset, store = open_data(read_config(run.config).collection, None, data / "store",
                               short_side=120)  # fmt: skip
    for fold, person in enumerate(("ann", "bob", "eve"), start=1):
        series = shutil.copytree(run, tmp_path / "series" / f"fold{fold}")
        paths = [video.path for video in dataset.videos if person not in video.path]
        hashes = {path: store.videos[path].source_sha256 for path in paths}
        (series / "training_videos.json").write_text(
            json.dumps({**record, "train": paths, "sha256": hashes})
        )
    template = tmp_path / "series" / "fold{fold}"
    given = arguments(data, tmp_path / "run", "--fold", "all", "--start-from", str(template))
    options = cli.parse(FitOptions, given)
    each = options.each_split()
    starts = [one.network.start_from for one in each]
    assert starts == [tmp_path / "series" / f"fold{fold}" for fold in (1, 2, 3)]
    check_starts(each)
    with pytest.raises(UserError, match=r"has learned from 2 of the test videos of fold 1 of 3"):
        check_starts([replaced(one, start_from=starts[1]) for one in each])


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("dropout", "much", "config.yaml: .*"),
        ("short_side", "-1", "config.yaml: `short_side` must be at least `crop_size`"),
        ("preset", "large", "config.yaml: `preset` must be one of"),
    ],
)
def test_options_of_the_run_are_checked(tmp_path, option, value, reason):
    values = {"preset": "small", "scl": "vgg_m", "initialization": "he", "paths": ["spatial"]}
    values |= {"temporal_kernels": [3], "short_side": 120, "dropout": 0.2, "optimizer": "sgd"}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    assert run_values(tmp_path)["short_side"] == 120
    file.write_text(yaml.safe_dump(values | {option: yaml.safe_load(value)}))
    with pytest.raises(UserError, match=f"is not the folder of a training run: {reason}"):
        run_values(tmp_path)


def test_options_of_a_run_nested_without_end(tmp_path):
    (tmp_path / "config.yaml").write_text("a: &x [*x]")
    with pytest.raises(UserError, match=r"config\.yaml does not hold the options of a run"):
        read_config(tmp_path / "config.yaml")
