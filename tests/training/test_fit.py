"""A whole run on a small folder of videos: train, stop, go on, evaluate, predict."""

import csv
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from fstcn_keras import ActionClassifier, auxiliary_classifier
from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import save_weights
from tests.equations import video_scores
from tests.training.runs import fit_arguments, store_of
from tests.training.test_cli import error_of
from tests.videos import write_noise_folder, write_video
from training import (
    cli,
    cluster_jobs,
    evaluate,
    figures,
    fit,
    fitting,
    loop,
    on_cluster,
)
from training.data.splits import open_data
from training.errors import UserError
from training.networks import load_classifier
from training.options import FitOptions, read_config, write_config
from training.parts import replaced
from training.scores import read_scores


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes, and two files that are no videos."""
    root = write_noise_folder(tmp_path_factory.mktemp("data"), 12)
    (root / "a" / "text.avi").write_text("not a video")
    (root / "b" / "empty.mp4").touch()
    return root


def arguments(data, out, *more):
    options = ("--auxiliary-epochs", "1", "--epochs", "2", "--warmup-epochs", "0")
    options += ("--optimizer", "sgd", "--auxiliary-rate", "0.01", "--learning-rate", "0.01")
    options += ("--val-fraction", "0", "--num-clips", "2")
    return fit_arguments(data, out, *options, *more)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    cli.run(fit.main, FitOptions, arguments(data, folder))
    return folder


def test_the_run_folder_is_complete(run):
    for name in ("config.yaml", "model.keras", "views.json", "rejected.csv", "scores.npz"):
        assert (run / name).stat().st_size > 0
    for name in ("curves.png", "confusion.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    assert list((run / "logs").rglob("events*"))
    assert not list(run.rglob("*partial*"))
    assert (run / "classes.txt").read_text() == "a\nb\n"
    assert (run / "model.keras").stat().st_size < 4 * 8_608_034 + 1_000_000  # weights alone
    assert not keras.saving.load_model(run / "model.keras").compiled
    with (run / "history.csv").open(newline="") as file:
        rows = [(row["stage"], row["epoch"]) for row in csv.DictReader(file)]
    assert rows == [("auxiliary", "0"), ("global", "0"), ("global", "1")]


def test_metrics_say_their_protocol_and_agree_with_the_scores(run, data):
    metrics = json.loads((run / "metrics.json").read_text())
    scores = np.load(run / "scores.npz", allow_pickle=False)
    protocol = metrics["protocol"]
    assert protocol["videos"] == len(scores["labels"])
    assert scores["scores"].shape == (protocol["videos"], 2, 18, 2)
    assert (protocol["num_clips"], protocol["num_crops"], protocol["missing"]) == (2, 18, 0)
    assert len(protocol["weights_sha256"]) == 64
    with (run / "rejected.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"a/text.avi", "b/empty.mp4"}
    options = read_config(run / "config.yaml")
    dataset, _ = open_data(options.collection, options.split, options.store, short_side=120)
    tests = {video.path for video in dataset.side("test")}
    assert protocol["rejected"] == len(tests & set(rows))
    assert set(scores["paths"].tolist()) == tests - set(rows)
    for path, label in zip(scores["paths"], scores["labels"], strict=True):
        assert "ab"[label] == path.split("/")[0]
    best = [video_scores(video).argmax() for video in scores["scores"]]
    assert metrics["video"]["sci"]["top1"] == pytest.approx(np.mean(best == scores["labels"]))
    assert metrics["video"]["sci"]["top5"] == 1.0


def test_a_finished_run_is_not_trained_again(run, data, capsys):
    before = (run / "model.keras").stat().st_mtime_ns
    cli.run(fit.main, FitOptions, arguments(data, run))
    text = capsys.readouterr().out
    assert "is finished already" in text
    assert "top-1   mean class" in text  # the best five of two classes are all of them
    assert (run / "model.keras").stat().st_mtime_ns == before


@pytest.mark.parametrize("lost", ["model.keras", "classes.txt"])
def test_a_finished_run_that_has_lost_its_network_is_mended(run, data, tmp_path, capsys, lost):
    damaged = shutil.copytree(run, tmp_path / "damaged run")
    (damaged / lost).unlink()
    cli.run(fit.main, FitOptions, arguments(data, damaged))
    told = capsys.readouterr().out
    assert "finished already" not in told
    assert f"next: python -m training.predict '{damaged}' VIDEO" in told
    old, new = (load_classifier(RunFolder(folder)).model for folder in (run, damaged))
    for one, other in zip(old.weights, new.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cluster_has_nothing_to_do_for_finished_runs(run, data, capsys, monkeypatch):
    monkeypatch.setattr(on_cluster, "is_connected", lambda: True)
    monkeypatch.setattr(cluster_jobs, "ray_package", lambda: pytest.fail("nothing is left"))
    cli.run(fit.main, FitOptions, arguments(data, run))
    assert capsys.readouterr().out.startswith(f"{run} is finished already:\n")


def test_runs_of_a_cluster_that_share_videos_open_them_once(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(on_cluster, "is_connected", lambda: True)
    begun = []
    monkeypatch.setattr(cluster_jobs, "run_apart", lambda *_, logs: begun.extend(logs))
    first = cli.parse(FitOptions, arguments(data, tmp_path / "1"))
    others = [replaced(first, out=tmp_path / "2"), replaced(first, split=2, out=tmp_path / "3")]
    fitting.fit_runs([first, *others])
    assert begun == [tmp_path / name / "log.txt" for name in "123"]
    opened = re.findall(r"^folder (split \d):", capsys.readouterr().out, re.MULTILINE)
    assert opened == ["split 1", "split 2"]


def test_evaluate_repeats_the_numbers_and_shared_views_do_not_stay(run, capsys):
    before = (run / "metrics.json").read_text()
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(run), "--views", "shared"])
    printed = capsys.readouterr().out
    assert "; the results replace those of 2 clips x 18 crops\n" in printed
    assert "test videos of 2 classes" in printed
    assert "2 clips x 18 crops (shared views)" in printed
    assert json.loads((run / "metrics.json").read_text())["protocol"]["views"] == "shared"
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(run)])
    printed = capsys.readouterr().out
    assert "; the results replace those of 2 clips x 18 crops (shared views)\n" in printed
    assert (run / "metrics.json").read_text() == before


def test_evaluate_scores_as_many_clips_as_are_asked_for(run, capsys):
    before = (run / "metrics.json").read_text()
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(run), "--num-clips", "3"])
    printed = capsys.readouterr().out
    assert "; the results replace those of 2 clips x 18 crops\n" in printed
    assert "3 clips x 18 crops\n" in printed
    three = read_scores(RunFolder(run)).scores
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(run)])
    assert "; the results replace those of 3 clips x 18 crops\n" in capsys.readouterr().out
    assert (run / "metrics.json").read_text() == before
    two = read_scores(RunFolder(run)).scores
    assert (three.shape[1], two.shape[1]) == (3, 2)
    # the first and the last clip are the same
    np.testing.assert_allclose(three[:, [0, 2]], two, rtol=1e-5, atol=1e-6)
    text = error_of(capsys, evaluate.main, evaluate.EvaluateOptions, str(run), "--num-clips", "0")
    assert "--num-clips" in text
    assert "positive" in text


def test_a_collection_that_moved_is_evaluated_alike(run, data, tmp_path, capsys):
    before = (run / "metrics.json").read_text()
    new = tmp_path / "new"
    data.rename(new)
    try:
        assert f"{data} is not a folder" in error_of(
            capsys, evaluate.main, evaluate.EvaluateOptions, str(run)
        )
        moved = [str(run), "--data-dir", str(new)]
        for store in (store_of(data), store_of(data).with_name("another-store")):
            (run / "metrics.json").unlink()
            cli.run(evaluate.main, evaluate.EvaluateOptions, [*moved, "--store", str(store)])
            assert (run / "metrics.json").read_text() == before
    finally:
        new.rename(data)
    printed = capsys.readouterr().out
    assert "taking the frames of 12 videos that were decoded before" in printed
    assert re.findall(r"decoding \d+ of \d+", printed) == [
        "decoding 2 of 14"
    ]  # the two that are none


def test_test_videos_that_cannot_be_decoded_are_noticed_before_training(tmp_path, capsys):
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / name / "1.avi", np.zeros((3, 48, 64, 3), np.uint8))
        (tmp_path / name / "2.avi").write_text("no video")
        (lists / f"{name}_test_split1.txt").write_text("1.avi 1\n2.avi 2\n")
    options = arguments(tmp_path, tmp_path / "run", "--splits-dir", str(lists))
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert "none of 2 test videos of split 1 can be decoded" in error
    assert (tmp_path / "run" / "rejected.csv").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_videos(data, tmp_path, capsys):
    more = ("--checkpoint-minutes", "0", "--learning-rate", "1e30")
    error = error_of(capsys, fit.main, FitOptions, *arguments(data, tmp_path / "run", *more))
    match = re.search(r"the loss became (nan|inf) in step (\d+) of stage global: try", error)
    assert match, error
    named = error.split("videos of the batch: ")[1].split(", ")
    assert len(named) == 4
    assert all((data / path).is_file() for path in named)
    steps = [int(file.stem[-8:]) for file in (tmp_path / "run/checkpoints").glob("global-*.npz")]
    assert max(steps) == int(match.group(2)) - 1


def test_a_batch_that_takes_more_memory_than_there_is(data, tmp_path, capsys, monkeypatch):
    def train_step(*_):
        def step(*_):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nHint: much")

        return step

    monkeypatch.setattr(loop, "train_step", train_step)
    error = error_of(capsys, fit.main, FitOptions, *arguments(data, tmp_path / "run"))
    expected = "a batch of 4 takes more memory than there is: try a lower --batch-size"
    assert error == f"error: {expected} (OOM when allocating Hint: much)"


def test_a_damaged_store_stops_with_the_name_of_the_video(data, tmp_path, capsys):
    options = arguments(data, tmp_path / "run", "--store", str(tmp_path / "store"))
    shutil.copytree(store_of(data), tmp_path / "store")
    for file in (tmp_path / "store" / "videos").glob("*/*"):
        content = bytearray(file.read_bytes())
        content[4096:8192] = bytes(4096)
        file.write_bytes(content)
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert "the stored frames of " in error
    assert ".avi are damaged" in error


def test_scl_weights_that_are_none(data, tmp_path, capsys):
    (tmp_path / "w.h5").write_text("no weights")
    options = arguments(data, tmp_path / "run", "--scl-weights", str(tmp_path / "w.h5"))
    assert "is no HDF5 file" in error_of(capsys, fit.main, FitOptions, *options)
    assert not (tmp_path / "run").exists()


def test_a_refused_run_leaves_alone_a_folder_that_was_there(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    options = arguments(tmp_path / "none", tmp_path / "run")
    assert "none is not a folder" in error_of(capsys, fit.main, FitOptions, *options)
    assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize("suffix", ["mat", "caffemodel"])
def test_scl_weights_of_other_frameworks_that_are_none(data, tmp_path, capsys, suffix):
    file = tmp_path / f"w.{suffix}"
    file.write_text("no weights")
    error = error_of(
        capsys, fit.main, FitOptions, *arguments(data, tmp_path / "run", "--scl-weights", str(file))
    )
    assert error.startswith(f"error: --scl-weights: {file}: it is no ")


def test_the_papers_recipe_says_when_stage_1_is_lacking(data, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise UserError("enough")

    monkeypatch.setattr(fitting, "train_stages", stop)

    def lines(*more: str) -> list[str]:
        options = arguments(data, tmp_path / f"run{len(more)}", *more)
        with pytest.raises(SystemExit):
            cli.run(fit.main, FitOptions, options)
        return [line for line in capsys.readouterr().out.splitlines() if "stage 1" in line]

    (line,) = lines("--recipe", "paper")
    assert "pre-training on ImageNet, is lacking" in line
    assert "--scl-weights FILE" in line
    assert lines() == []
    network = auxiliary_classifier(num_classes=2, preset="small")
    save_weights(network, tmp_path / "w.h5")
    assert lines("--recipe", "paper", "--scl-weights", str(tmp_path / "w.h5")) == []


def test_scl_weights_may_go_once_a_run_is_finished(data, tmp_path, capsys):
    options = arguments(data, tmp_path / "new", "--scl-weights", str(tmp_path / "gone.h5"))
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert f"--scl-weights must be a file, got {tmp_path / 'gone.h5'}" in error
    write_config(cli.parse(FitOptions, options), tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml").network.scl_weights == tmp_path / "gone.h5"


def test_what_changes_the_preset_reaches_the_network_and_its_views(data, tmp_path):
    more = ("--short-side", "110", "--initialization", "mean", "--paths", "spatial")
    more += ("--store", str(tmp_path / "store"))  # of frames of another size
    more += ("--auxiliary-epochs", "0", "--epochs", "1", "--learning-rate", "1e-6")
    cli.run(fit.main, FitOptions, arguments(data, tmp_path / "run", *more))
    assert json.loads((tmp_path / "run" / "views.json").read_text())["short_side"] == 110
    classifier = load_classifier(RunFolder(tmp_path / "run"))
    kernel = ops.convert_to_numpy(classifier.model.head.get_layer("spatial_fc").kernel)
    each = kernel.reshape(9, -1, kernel.shape[-1])  # 3x3 positions
    assert np.abs(each - each[:1]).max() < 0.1 * each.std()
    text = read_config(tmp_path / "run" / "config.yaml").preset_text()
    assert text == "small with short_side 110, initialization mean"


def test_a_stop_between_new_scores_and_metrics_leaves_none(run, tmp_path, monkeypatch):
    """Old metrics would be taken for those of the new scores."""
    copy = shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(figures, "draw_confusion", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate.evaluate_again(replaced(read_config(copy / "config.yaml"), out=copy))
    assert (copy / "scores.npz").is_file()
    assert not (copy / "metrics.json").exists()


def test_damaged_metrics_are_named(data, run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    for content in ("", '{"video": 3}'):
        (tmp_path / "run" / "metrics.json").write_text(content)
        error = error_of(capsys, fit.main, FitOptions, *arguments(data, tmp_path / "run"))
        assert "metrics.json is damaged" in error
        assert f"'python -m training.evaluate {tmp_path / 'run'}' makes it anew" in error


def test_a_damaged_history_is_mended(data, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "history.csv").write_text("a,b\n1\nx,y,z")
    cli.run(fit.main, FitOptions, arguments(data, tmp_path / "run"))
    before, after = ((f / "history.csv").read_text().splitlines() for f in (run, tmp_path / "run"))
    assert after == [line for line in before if not line.startswith("auxiliary")]


@pytest.mark.slow  # a second training
def test_a_rate_is_part_of_the_run_and_of_what_it_answers(data, tmp_path):
    write_noise_folder(tmp_path / "data", 6)
    out = tmp_path / "run"
    cli.run(fit.main, FitOptions, arguments(tmp_path / "data", out, "--fps", "50"))
    plan = ActionClassifier.load(out).plan
    assert plan.fps == read_config(out / "config.yaml", FitOptions).collection.fps == 50
    assert json.loads((out / "metrics.json").read_text())["protocol"]["fps"] == 50
    video = next((tmp_path / "data" / "a").glob("*.avi"))
    assert ActionClassifier.load(out).predict_video(video).num_frames == 24  # 12 at 25 a second
    changed = arguments(tmp_path / "data", out, "--fps", "25")
    with pytest.raises(SystemExit):
        cli.run(fit.main, FitOptions, changed)
