"""The mistakes of a run, as a command."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from analysis import errors, explanation, kernels, mistakes, report, saliency, tsne
from analysis.runs import FigureOptions, open_run, read_options
from fstcn_keras.runs import RunFolder
from tests.equations import clip_scores, video_scores
from tests.training.test_cli import error_of
from training import cli, evaluate
from training.scores import read_scores

COMMANDS = {
    **dict.fromkeys((errors, kernels, report), FigureOptions),
    saliency: saliency.SaliencyOptions,
    tsne: tsne.TsneOptions,
    evaluate: evaluate.EvaluateOptions,
}


@pytest.fixture(scope="module")
def figures(finished_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    cli.run(errors.main, FigureOptions, [str(finished_run), "--out", str(out)])
    return out


def test_numbers_against_the_scores(figures, finished_run):
    found = json.loads((figures / "errors.json").read_text())
    with np.load(finished_run / "scores.npz") as arrays:
        views, labels = arrays["scores"], arrays["labels"]
    right = np.array([video_scores(video).argmax() for video in views]) == labels
    assert found["top1"]["sci"]["share"] == pytest.approx(right.mean())
    assert found["top1"]["sci"]["videos"] == 13
    assert found["classes"]["green"]["right"] == right[labels == 1].sum()
    assert found["classes"]["single"]["videos"] == 1
    assert sum(count for *_, count in found["pairs"]) == (~right).sum()
    for true, predicted, _ in found["pairs"]:
        assert true != predicted
    assert found["views"]["sci"]["18 crops"][-1] == pytest.approx(right.mean())
    assert "13 test videos of 4 classes, 2 clips x 18 crops" in found["caption"]
    assert "seed 0" in found["caption"]


def test_all_figures_are_drawn(figures):
    names = {file.name for file in figures.iterdir()}
    drawn = {"confusion.png", "class_accuracy.png", "mistakes.jpg", "reliability.png", "views.png"}
    assert names == {"errors.json", "mistakes.json", "mistakes", *drawn}
    for name in drawn:
        with Image.open(figures / name) as image:
            image.verify()


def test_each_mistake_has_its_frame_and_what_misled(figures, finished_run):
    record = json.loads((figures / "mistakes.json").read_text())
    with np.load(finished_run / "scores.npz") as arrays:
        views, labels, paths = arrays["scores"], arrays["labels"], arrays["paths"].tolist()
    scores = np.array([video_scores(video) for video in views])
    answers = scores.argmax(axis=1)
    margins = scores.max(axis=1) - scores[np.arange(13), labels]
    wrong = [number for number in np.argsort(-margins, kind="stable") if margins[number]]
    assert [one["video"] for one in record["mistakes"]] == [paths[number] for number in wrong]
    classes = (finished_run / "classes.txt").read_text().splitlines()
    for one, number in zip(record["mistakes"], wrong, strict=True):
        true, answer = classes[labels[number]], classes[answers[number]]
        assert one["text"].startswith(f"{true} (")
        assert f") taken for {answer} (" in one["text"]
        with (
            Image.open(figures / one["frame"]) as frame,
            Image.open(figures / one["strip"]) as strip,
        ):
            assert frame.size == (160, 120)
            assert strip.size == (6 * 160, 120)  # the middle frame and five differences
            middle = np.asarray(strip.convert("RGB"))[:, :160].reshape(-1, 3)
            assert np.ptp(middle, axis=1).max() > 30  # the map is in colour


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_no_run(command, tmp_path, capsys):
    more = ("--classes", "red") if command is saliency else ()
    for folder in (tmp_path, tmp_path / "none"):
        error = error_of(capsys, command.main, COMMANDS[command], folder, *more)
        assert f"{folder} is not the folder of a training run: no config.yaml" in error


def test_no_mistake_no_contact_sheet(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    with np.load(run / "scores.npz") as arrays:
        certain = np.eye(4, dtype=np.float32)[arrays["labels"]]
        scores = np.broadcast_to(certain[:, None, None], arrays["scores"].shape)
        np.savez(run / "scores.npz", **{**arrays, "scores": scores})
    cli.run(errors.main, FigureOptions, [str(run)])
    assert not list((run / "figures").glob("mistakes*"))
    assert json.loads((run / "figures" / "errors.json").read_text())["pairs"] == []


def test_a_run_judged_by_encoded_views(finished_run, tmp_path):
    """As `training.tune` judges heads: one clip of the centre and eight drawn views."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    with np.load(run / "scores.npz") as arrays:
        np.savez(run / "scores.npz", **{**arrays, "scores": arrays["scores"][:, :1, :9]})
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["protocol"] |= {"num_clips": 1, "num_crops": 9, "views": "encoded"}
    (run / "metrics.json").write_text(json.dumps(metrics))
    cli.run(errors.main, FigureOptions, [str(run)])
    found = json.loads((run / "figures" / "errors.json").read_text())
    assert found["views"]["sci"]["9 views"] == [pytest.approx(found["top1"]["sci"]["share"])]
    assert "8 views drawn as in training and the centre" in found["caption"]
    record = json.loads((run / "figures" / "mistakes.json").read_text())
    assert "beside it the middle clip, as the views that were scored are not kept" in str(record)


@pytest.mark.parametrize("num_clips", [1, 5])
def test_the_strip_is_of_the_clip_that_was_scored(finished_run, tmp_path, monkeypatch, num_clips):
    """The run was trained with two clips a video, and evaluated again with fewer or more."""
    run = RunFolder(shutil.copytree(finished_run, tmp_path / "run"))
    evaluate.evaluate_again(read_options(run), num_clips=num_clips)
    drawn, cut = [], explanation.clip_pixels

    def clip_pixels(frames, numbers, positions):
        drawn.append(numbers)
        return cut(frames, numbers, positions)

    monkeypatch.setattr(explanation, "clip_pixels", clip_pixels)
    cli.run(errors.main, FigureOptions, [str(run.path)])
    scores, opened = read_scores(run), open_run(run)
    worst = mistakes.worst_mistakes(scores)
    assert len(drawn) == len(worst) > 0
    plan = dataclasses.replace(opened.classifier.plan, num_clips=num_clips)
    for numbers, video in zip(drawn, worst, strict=True):
        wrong = video_scores(scores.scores[video]).argmax()
        best = clip_scores(scores.scores[video])[:, wrong].argmax()
        num_frames = opened.store.videos[scores.paths[video]].num_frames
        np.testing.assert_array_equal(numbers, plan.pair_indices(num_frames)[best])


def test_mistakes_stay_where_no_new_ones_can_be_drawn(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    cli.run(errors.main, FigureOptions, [str(run)])
    before = {file: file.read_bytes() for file in (run / "figures").rglob("*.jpg")}
    (run / "model.keras").unlink()
    assert "holds no trained network" in error_of(capsys, errors.main, FigureOptions, run)
    assert before
    assert {file: file.read_bytes() for file in (run / "figures").rglob("*.jpg")} == before


def test_what_lies_beside_the_figures_stays(finished_run, tmp_path):
    own = tmp_path / "mistakes" / "my-frame.jpg"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    old = own.with_name("19-strip.jpg")  # of an earlier command with more mistakes
    old.write_bytes(b"old")
    cli.run(errors.main, FigureOptions, [str(finished_run), "--out", str(tmp_path)])
    assert own.read_bytes() == b"mine"
    assert not old.exists()


def test_long_names_leave_room_for_the_figures(finished_run):
    scores = read_scores(RunFolder(finished_run))
    names = tuple(f"{name} and more of it" * 9 for name in scores.classes)
    scores = dataclasses.replace(scores, classes=names)
    found = errors.find_errors(scores, "caption")
    for figure in (errors.draw_class_accuracy(found), errors.draw_ordered_confusion(scores, "")):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        assert axes.get_tightbbox().x0 >= 0
        assert all(len(label.get_text()) < 60 for label in axes.get_yticklabels())


def test_a_video_that_is_gone(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    with np.load(run / "scores.npz") as arrays:
        paths = [f"gone {path}" for path in arrays["paths"]]
        np.savez(run / "scores.npz", **{**arrays, "paths": paths})
    with pytest.raises(SystemExit):
        cli.run(errors.main, FigureOptions, [str(run)])
    printed = capsys.readouterr()
    assert "is no video of the data any more: 'python -m training.evaluate" in printed.err
    assert re.search(r"^mistakes: \d+; most frequent:$", printed.out, re.M)  # needs no video


def test_a_folder_of_all_splits(tmp_path, finished_run, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("split: 1", "split: all"))
    (run / "metrics.json").unlink()  # which a folder of several runs does not have
    error = error_of(capsys, errors.main, FigureOptions, run)
    assert f"holds a run for each split or fold: name one of {run / 'split1'}" in error
