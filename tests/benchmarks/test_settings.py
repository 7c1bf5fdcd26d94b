"""Steps with and without the settings of a training process."""

import csv

import pytest

from benchmarks import report, settings, step
from training.cli import UserError


def test_the_ratio_is_of_the_two_times(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda: False)
    settings.main(settings.SettingsOptions(presets=("small",), batch=2, rounds=1))
    rows = list(csv.DictReader((tmp_path / "settings.csv").read_text().splitlines()[1:]))
    assert [(row["phase"], row["setting"]) for row in rows] == [
        ("training", "huge pages"),
        ("training", "oneDNN"),
        ("inference", "huge pages"),
        ("inference", "oneDNN"),
    ]
    for row in rows:
        times = float(row["without, s"]) / float(row["with, s"])
        assert float(row["times as fast"]) == pytest.approx(times, abs=0.01)
        assert not row["not measured"]


@pytest.mark.parametrize("name", ["batch", "rounds"])
def test_nothing_to_time_is_an_error(name):
    with pytest.raises(UserError, match=f"--{name} must be positive, got 0"):
        settings.main(settings.SettingsOptions(**{name: 0}))
