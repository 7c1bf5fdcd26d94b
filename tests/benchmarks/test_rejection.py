"""The curve of refused videos, by hand, and whole on tiny videos."""

import csv

import numpy as np
import pytest

from benchmarks import rejection, report
from tests.training.runs import fit_arguments
from tests.videos import noise, write_video
from training import cli
from training.errors import UserError
from training.parts import build


def views(novelties, answers) -> rejection.Views:
    """One view a video: the probabilities of two classes, and the energy."""
    scores = np.eye(2)[np.array(answers)][:, None, None] * 0.8 + 0.1
    return scores, np.array(novelties, float)[:, None, None]


def test_the_curve_by_hand():
    held_out = views(range(19), [0] * 19)
    known, labels = views([0, 17.8, 17.8, 1], [0, 0, 1, 1]), np.array([0, 0, 0, 1])
    unknown = views([17.5, 16.5, 30], [0, 0, 0])
    sides = rejection.Sides(
        held_out=held_out,
        known=known,
        unknown=unknown,
        labels=labels,
        groups=(list("abcd"), list("aab")),
    )
    rows = rejection.refused_shares(sides)
    assert [row["asked for"] for row in rows] == [
        *("0.05", "0.07", "0.10", "0.15", "0.20", "0.30", "0.40", "0.50")
    ]  # 0.03 needs 33 held-out videos
    by_share = {row["asked for"]: row for row in rows}
    first, third = by_share["0.05"], by_share["0.10"]  # thresholds 18 and 17
    assert (first["known refused"], first["unknown refused"]) == ("0.000", "0.333")
    assert (third["known refused"], third["unknown refused"]) == ("0.500", "0.667")
    assert (first["top-1 of kept"], third["top-1 of kept"]) == ("0.750", "1.000")
    low, high = map(float, third["unknown, interval"].split(" to "))
    assert low < 2 / 3 < high


def test_splits_refuse_by_their_own_thresholds_and_are_counted_together():
    def sides(start: int) -> rejection.Sides:
        """Novelties from `start` on; of three known videos one is refused by share 0.1."""
        return rejection.Sides(
            held_out=views(np.arange(19) + start, [0] * 19),
            known=views(np.array([0, 5, 17.5]) + start, [0, 1, 1]),
            unknown=views(np.array([18]) + start, [0]),
            labels=np.array([0, 1, 1]),
            groups=(["a", "a", f"b{start}"], ["c"]),
        )

    rows = rejection.refused_shares(sides(0), sides(100))
    row = next(row for row in rows if row["asked for"] == "0.10")
    assert (row["held out"], row["known"], row["unknown"]) == (38, 6, 2)
    assert (row["known refused"], row["unknown refused"]) == ("0.333", "1.000")
    assert row["top-1 of kept"] == "1.000"


def test_areas_are_shares_of_pairs():
    known, unknown = views([0, 2], [0, 1]), views([1, 3], [0, 1])
    energy, *others = rejection.areas_under_curve(known, unknown)
    assert energy["area"] == "0.750"  # three of four pairs
    assert [row["area"] for row in others] == ["0.500"] * 2  # all are as certain


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "--classes: name the classes"),
        ({"classes": "a", "views": "encoded"}, "--views encoded"),
    ],
)
def test_options_at_fault(given, expected):
    with pytest.raises(UserError, match=expected):
        build(rejection.RejectionOptions, **given)


@pytest.mark.slow
def test_a_curve_of_tiny_videos(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    data = tmp_path / "data"
    for seed, (channel, person) in enumerate((c, p) for c in range(3) for p in "abcdefgh"):
        frames = noise(12, height=48, width=64, seed=seed) // 4
        frames[..., channel] += np.uint8(150)
        path = data / ("red", "green", "blue")[channel] / f"{person}{seed}.avi"
        write_video(path, frames, codec="mpeg4")
    options = fit_arguments(data, tmp_path / "run", "--paths", "spatial", "--groups", "/([a-z])")
    options += ["--classes", "red,green", "--reject-at", "0.4", "--name", "tiny"]
    cli.run(rejection.main, rejection.RejectionOptions, options)
    for name, expected in (("tiny", ["0.40", "0.50"]), ("tiny-scores", None)):
        with (tmp_path / "results" / f"{name}.csv").open(newline="") as file:
            assert file.readline().startswith("# ")
            rows = list(csv.DictReader(file))
        assert {int(row["known"]) for row in rows} == {2 * int(rows[0]["unknown"])}
        if expected:
            assert [row["asked for"] for row in rows] == expected
