"""The command: Figure 5 for a video and class by class, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import saliency
from analysis.explanation import Explainer, disc_regions, read_clips
from analysis.saliency import SaliencyOptions
from analysis.sanity import concentration
from fstcn_keras import ActionClassifier, ViewPlan
from fstcn_keras.runs import RunFolder
from fstcn_keras.video import VideoReader
from tests.analysis.conftest import TEST_VIDEOS
from tests.analysis.test_attribution import LENGTH, VIEWS, tiny_fstcn
from tests.equations import video_scores
from tests.training.test_cli import error_of
from training import cli, fit
from training.data.collections import load_dataset
from training.evaluate import evaluate_again
from training.networks import load_classifier
from training.options import FitOptions, read_config
from training.parts import replaced
from training.scores import read_scores

PLAN = ViewPlan(num_clips=2, stride=2, distance=3, **VIEWS)
RED = "red/2 & 'x'$.avi"


def with_tiny_network(run: Path, target: Path, **overrides) -> Path:
    """The run with a smaller network in its place, evaluated anew."""
    shutil.copytree(run, target)
    network = tiny_fstcn(**overrides)
    ActionClassifier(network, classes=list(TEST_VIDEOS), plan=PLAN).save(target)
    options = read_config(target / "config.yaml")
    evaluate_again(replaced(options, out=target, store=target / "store"))
    return target


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory):
    return with_tiny_network(finished_run, tmp_path_factory.mktemp("runs") / "tiny")


def explain(*argv: object) -> None:
    cli.run(saliency.main, SaliencyOptions, [str(argument) for argument in argv])


def check_part(part: dict, times: int):
    for name in ("deletion", "insertion"):
        curve = np.array(part[name]["probability"])
        assert curve.shape == (11,)
        assert part[name]["area"] == pytest.approx((curve[1:] + curve[:-1]).sum() / 20)
        assert len(part[name]["random_areas"]) == 3
    assert part["deletion"]["probability"][0] == part["insertion"]["probability"][-1]
    assert part["deletion"]["probability"][-1] == part["insertion"]["probability"][0]
    assert len(part["rank_correlation_with_random_weights"]) == 3
    assert len(part["share_by_time"]) == times
    assert sum(part["share_by_time"]) == pytest.approx(1)
    assert part["energy_in_boxes_to_uniform"] is None  # no demo video
    assert part["energy_in_boxes_to_uniform_of_random_weights"] == [None] * 3


def test_a_video(run, coloured_videos, tmp_path, capsys):
    explain(run, coloured_videos / RED, "--out", tmp_path, "--target", "blue <b>")
    names = {path.name for path in tmp_path.iterdir()}
    stem = "saliency-2 & 'x'$-gradient-blue_b_"
    assert names == {f"{stem}.{suffix}" for suffix in ("png", "json", "gif")}
    record = json.loads((tmp_path / f"{stem}.json").read_text())
    assert record["method"] == {"name": "gradient"}
    [video] = record["videos"]
    assert (video["class"], video["num_frames"]) == ("blue <b>", 10)
    scores = read_scores(RunFolder(run))
    best = scores.scores[scores.paths.index(RED)].max(axis=(0, 1))[0]
    assert video["score"] == pytest.approx(best, abs=0.05)
    assert list(video["parts"]) == ["frame", "differences"]
    check_part(video["parts"]["frame"], times=1)
    check_part(video["parts"]["differences"], times=LENGTH)
    printed = capsys.readouterr().out
    assert f"{coloured_videos / RED}: 10 frames; blue <b> scores {video['score']:.3f}" in printed
    assert record["caption"] in printed
    with Image.open(tmp_path / f"{stem}.png") as image:
        assert image.width == 1200


def test_classes_take_their_own_best_test_video(run, coloured_videos, tmp_path):
    explain(run, "--classes", "red, single", "--out", tmp_path)
    record = json.loads((tmp_path / "saliency-classes-gradient.json").read_text())
    scores = read_scores(RunFolder(run))
    for video, name in zip(record["videos"], ("red", "single"), strict=True):
        label = scores.classes.index(name)
        videos = zip(scores.scores, scores.paths, strict=True)
        own = [(video_scores(x)[label], path) for x, path in videos if path.startswith(f"{name}/")]
        assert video["video"] == str(coloured_videos / max(own)[1])
        assert video["class"] == name
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".json"}


@pytest.mark.parametrize(("path", "part"), [("spatial", "frame"), ("temporal", "differences")])
def test_a_run_of_one_path(finished_run, coloured_videos, tmp_path, path, part):
    run, out = with_tiny_network(finished_run, tmp_path / "run", paths=(path,)), tmp_path / "out"
    options = ("--method", "integrated_gradients", "--animation", "mp4")
    explain(run, coloured_videos / "green" / "1 & 'x'$.avi", *options, "--out", out)
    [record] = json.loads(next(out.glob("*.json")).read_text())["videos"]
    assert list(record["parts"]) == [part]
    assert record["completeness"]["error"] <= 0.01
    [animation] = out.glob("*.mp4")
    ticks = {"frame": 1, "differences": LENGTH}[part]
    assert len(list(VideoReader(animation))) == 2 * ticks  # of two clips
    explain(run, "--classes", "green", "--out", out)
    assert (out / "saliency-classes-gradient.png").is_file()


def test_figures_of_a_run_go_into_its_folder(run, coloured_videos, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "figures").mkdir(exist_ok=True)
    (copy / "figures" / "saliency-2 & 'x'$-smoothgrad.gif").write_bytes(b"of other weights")
    options = ("--method", "smoothgrad", "--samples", 2, "--animation", "none")
    explain(copy, coloured_videos / RED, *options)
    [figure] = (copy / "figures").glob("*.png")
    record = json.loads(figure.with_suffix(".json").read_text())
    assert record["method"] == {"name": "smoothgrad", "samples": 2, "noise": 0.15, "seed": 0}
    assert not list((copy / "figures").glob("*.gif"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name one video file, or --classes; got neither"),
        ([RED, "--classes", "red"], "--classes red"),
        (["--classes", "red,purple"], "no class 'purple'; the run's classes: blue <b>, green"),
        (["--classes", ","], "--classes must name a class or more, got ','"),
        (["--classes", "red", "--target", "red"], "--target is for a video"),
        ([RED, "--target", "purple"], "no class 'purple'"),
        (["nothing.avi"], "nothing.avi: "),
        ([RED, "--method", "magic"], "--method must be gradient, guided"),
        ([RED, "--samples", "0"], "--samples must be positive, got 0"),
        ([RED, "--noise", "-1"], "--noise must be finite and not negative, got -1.0"),
        ([RED, "--noise", ".nan"], "--noise must be finite and not negative, got nan"),
    ],
)
def test_what_is_refused(run, coloured_videos, tmp_path, capsys, argv, message):
    argv = [coloured_videos / name if name.endswith(".avi") else name for name in argv]
    arguments = (run, *argv, "--out", tmp_path / "out")
    assert message in error_of(capsys, saliency.main, SaliencyOptions, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused_first(run, coloured_videos, capsys, monkeypatch):
    monkeypatch.setattr("analysis.explanation.Explainer.explain", pytest.fail)
    arguments = (run, coloured_videos / RED, "--out", coloured_videos / RED / "figures")
    error = error_of(capsys, saliency.main, SaliencyOptions, *arguments)
    assert f"{RED}/figures: Not a directory: a part of this path is a file" in error


def test_a_class_without_a_test_video(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    scores = dict(np.load(copy / "scores.npz"))
    kept = scores["labels"] != 3
    np.savez(copy / "scores.npz", **{name: values[kept] for name, values in scores.items()})
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["protocol"]["videos"] = int(kept.sum())
    (copy / "metrics.json").write_text(json.dumps(metrics))
    error = error_of(capsys, saliency.main, SaliencyOptions, copy, "--classes", "single")
    assert "class single has no test video" in error


@pytest.mark.slow
def test_maps_of_the_trained_demo_lie_on_its_discs(tmp_path):
    """Energy in the discs' boxes, mean over two test videos of each class."""
    run = tmp_path / "run"
    cli.run(fit.main, FitOptions, ["--split", "3", "--out", str(run)])
    classifier = load_classifier(RunFolder(run))
    options = read_config(run / "config.yaml")
    root = load_dataset(options.collection, options.split).root
    scores = read_scores(RunFolder(run))
    chosen = [np.flatnonzero(scores.labels == label)[:2] for label in range(8)]
    least = {"gradient": 2.5, "guided": 3, "smoothgrad": 3, "integrated_gradients": 3}
    for method, minimum in least.items():
        explainer = Explainer(classifier, method=method, seed=0, on_demo=True, settings={})
        found = {"frame": [], "differences": []}
        for number in np.concatenate(chosen):
            video = read_clips(root / Path(scores.paths[number]), classifier)
            label = int(scores.labels[number])
            clip = video.clips[video.scores[:, label].argmax()]
            regions = disc_regions(video.path.name, clip)
            for part, saliency_map in explainer.attribute(clip, label).maps.items():
                found[part].append(concentration(saliency_map, regions[part]))
        assert np.mean(found["frame"]) >= 3, method
        assert np.mean([value for value in found["differences"] if value]) >= minimum, method
