"""`--reject-at`: which videos it holds out, the threshold that they give, and what is told."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fstcn_keras.prediction import Moment, Prediction, VideoResult
from fstcn_keras.runs import RunFolder
from tests.networks import REJECTION
from tests.training.colours import COLOURS, PLAN
from tests.training.runs import fit_arguments, write_split
from tests.training.test_cli import error_of
from tests.videos import noise, write_video
from training import cli, evaluate, fit, judgement, predict
from training.annotation import draw_moment
from training.figures import draw_timeline
from training.options import FitOptions
from training.parts import build
from training.prediction_table import PredictionTable


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two classes told apart by colour, of eight persons."""
    root = tmp_path_factory.mktemp("data")
    for seed, (channel, person) in enumerate((c, p) for c in range(2) for p in "abcdefgh"):
        frames = noise(12, height=48, width=64, seed=seed) // 4
        frames[..., channel] += np.uint8(150)
        path = root / ("red", "green")[channel] / f"{person}{seed}.avi"
        write_video(path, frames, codec="mpeg4")
    return root


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return fit_arguments(
        data, out, "--paths", "spatial", "--groups", "/([a-z])", "--warmup-epochs", "0", *more
    )


def quantile(values: np.ndarray, share: float) -> float:
    ordered = sorted(values.tolist())
    place = min((len(ordered) + 1) * (1 - share), len(ordered))
    below = int(place)
    above = min(below + 1, len(ordered))
    return ordered[below - 1] + (place - below) * (ordered[above - 1] - ordered[below - 1])


def test_a_run_that_refuses(data, tmp_path, capsys):
    options = arguments(data, tmp_path / "run", "--reject-at", "0.4", "--seed", "1")
    cli.run(fit.main, FitOptions, options)
    printed, run = capsys.readouterr().out, RunFolder(tmp_path / "run")
    videos = json.loads(run.training_videos.read_text())
    with np.load(run.scores) as arrays:
        test, energy = arrays["paths"].tolist(), arrays["energy"]
    assert not {*videos["train"]} & {*videos["held out"]}
    assert not {*test} & ({*videos["train"]} | {*videos["held out"]})
    assert f"{len(videos['held out'])} held out for --reject-at" in printed
    assert "val_top1" not in printed  # they choose nothing else

    with np.load(run.held_out_scores) as arrays:
        assert sorted(arrays["paths"].tolist()) == videos["held out"]
        held_out = arrays["scores"][..., -1]  # (V, M, C)
    found = json.loads(run.rejection.read_text())
    assert found["threshold"] == pytest.approx(quantile(held_out.mean(axis=(1, 2)), 0.4))
    refused = float(np.mean(energy.mean(axis=(1, 2)) > found["threshold"]))
    judged = json.loads(run.metrics.read_text())["judgement"]
    assert judged["refusals"]["refused"] == pytest.approx(refused)
    assert not judged["pretrained"]
    trained = [sum(path.startswith(name) for path in videos["train"]) for name in ("green", "red")]
    assert judged["trained"] == trained  # without those held out
    assert run.class_measures.read_text().splitlines()[1].startswith(f"green,{trained[0]},")
    assert f"refused as none of the classes: {refused:.1%} of the test videos" in printed

    before = run.held_out_scores.stat().st_mtime_ns
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(run), "--reject-at", "0.6"])
    again = json.loads(run.rejection.read_text())
    assert again["threshold"] == pytest.approx(quantile(held_out.mean(axis=(1, 2)), 0.6))
    assert run.held_out_scores.stat().st_mtime_ns == before
    assert "where 60.0% was asked for" in capsys.readouterr().out
    error = error_of(
        capsys, evaluate.main, evaluate.EvaluateOptions, str(run), "--reject-at", ".01"
    )
    assert "needs 99 held-out videos or more. Received: " in error

    moved = ("--data-dir", str(tmp_path / "nowhere"), "--reject-at", "0.5")
    assert "nowhere" in error_of(capsys, evaluate.main, evaluate.EvaluateOptions, str(run), *moved)
    assert json.loads(run.rejection.read_text()) == again  # that its results are of

    cli.run(predict.main, predict.PredictOptions, [str(run), str(data / test[0]), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["novelty"] == pytest.approx(float(energy[0].mean()), abs=0.2)  # no JPEGs here
    assert answer["rejected"] is (answer["novelty"] > again["threshold"])


def test_too_few_videos_to_choose_by(data, tmp_path, capsys):
    options = arguments(data, tmp_path / "run", "--reject-at", "0.05")
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert "--reject-at 0.05 needs 19 held-out training videos or more, got " in error
    assert not (tmp_path / "run").exists()


def test_too_few_sources_to_hold_any_out(data, tmp_path, capsys):
    """All training videos of a class are of one source: a fifth of them is none, nor is a half."""
    lists = tmp_path / "lists"
    write_split(data, lists, test_prefix="a")
    more = ("--splits-dir", str(lists), "--groups", "/a|red|green", "--reject-at", "0.4")
    options = arguments(data, tmp_path / "run", *more)
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert error.startswith("error: --reject-at 0.4 holds 20% of each class out, whole sources, to")
    assert "hold out more by --val-fraction, or leave --reject-at out" in error
    error = error_of(capsys, fit.main, FitOptions, *options, "--val-fraction", "0.5")
    assert "--val-fraction 0.5 holds nothing out" in error


@pytest.mark.parametrize("share", ["0", "1", "-0.1"])
def test_impossible_shares(tmp_path, capsys, share):
    error = error_of(capsys, fit.main, FitOptions, "--reject-at", share)
    assert "--reject-at must lie between 0 and 1" in error


def test_a_run_without_held_out_scores(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setattr(evaluate, "read_config", lambda file: _options(tmp_path))
    more = ("--reject-at", "0.1")
    error = error_of(capsys, evaluate.main, evaluate.EvaluateOptions, str(tmp_path), *more)
    assert "has no scores of held-out videos to choose a threshold on: train it by" in error


def _options(out: Path) -> FitOptions:
    return build(FitOptions, out=out)


def test_refusals_are_counted_by_hand():
    scores = np.eye(2)[[0, 0, 1, 1]]
    energy = np.array([-5.0, -3.0, -4.5, -2.0])[:, None, None]
    labels = np.array([0, 0, 0, 1])
    found = judgement.refusals(REJECTION, scores, energy, labels, sources=list("abcd"))
    assert found["refused"] == 0.5  # above -3.8
    assert found["kept"] == 0.5  # the first is right, the third is not
    low, high = found["interval"]
    assert low < 0.5 < high
    none = judgement.refusals(REJECTION, scores, energy + 9, labels, sources=list("abcd"))
    assert (none["refused"], none["kept"]) == (1, None)


def refused_prediction() -> Prediction:
    return Prediction.from_probabilities(
        np.array([[[0.5, 0.3, 0.2]]]),
        COLOURS,
        pairs=PLAN.pair_indices(9),
        num_frames=9,
        incomplete="",
        plan=PLAN,
        times=np.arange(10) / 10,
        energy=np.array([[-1.25]]),
        rejection=REJECTION,
    )


def test_predict_says_it_first():
    lines = predict.table(Path("a.avi"), refused_prediction(), 1).splitlines()
    assert lines[1:] == [
        "  -1.250  none of the classes: its novelty is above the threshold",
        "   0.500  red",
    ]
    found = json.loads(predict.json_line(Path("a.avi"), refused_prediction(), 1))
    assert (found["rejected"], found["novelty"]) == (True, -1.25)


def test_a_table_has_it(tmp_path):
    table = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    table.begin([Path("a.avi")])
    table.add(VideoResult(source=Path("a.avi"), prediction=refused_prediction()))
    table.finish()
    with (tmp_path / "t.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["novelty"], row["rejected"]) == ("red", "-1.250000", "yes")


def test_refused_seconds_are_grey_in_the_timeline_and_named_in_the_copy():
    seconds = [
        Moment.from_probabilities(
            np.array([[0.7, 0.2, 0.1]]),
            COLOURS,
            start_s=second,
            end_s=second + 1,
            energy=np.array([energy]),
            rejection=REJECTION,
        )
        for second, energy in enumerate((-5.0, -1.0, -1.0))
    ]
    (axes,) = draw_timeline(seconds, title="", top_k=1).axes
    spans = [patch.get_x() for patch in axes.patches if patch.get_label() != "red"]
    assert spans == [1, 2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "red",
        "none of the classes",
    ]
    frame = np.full((360, 480, 3), 200, np.uint8)
    plain, refused = (draw_moment(frame, seconds[n], played=0.5) for n in (0, 1))
    assert (plain[:20] == 200).all()
    assert refused[:20].mean() < 150
