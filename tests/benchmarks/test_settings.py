"""Steps with and without the settings of a training process."""

import csv

import pytest

from benchmarks import report, settings, step
from benchmarks.workers import Measured, Worker
from training.errors import UserError

SECONDS = {
    ("training", "all"): 0.25,
    ("training", "huge pages"): 0.3,
    ("training", "oneDNN"): 0.625,
    ("inference", "all"): 0.08,
    ("inference", "huge pages"): 0.06,
}
REASON = "out of memory"  # of inference without oneDNN


def test_a_ratio_is_of_two_times_of_one_phase(monkeypatch, tmp_path):
    def measure(cases, workers, *, rounds):
        assert rounds == 3
        assert {case.worker for case in cases} == set(workers)
        assert {case.arguments["network"] for case in cases} == {"small"}
        assert {case.arguments["batch"] for case in cases} == {2}
        times = [SECONDS.get((case.arguments["phase"], case.worker)) for case in cases]
        return [
            Measured(case=case, seconds=time) if time else Measured(case=case, reason=REASON)
            for case, time in zip(cases, times, strict=True)
        ]

    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(settings, "measure", measure)
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda: False)
    settings.main(settings.SettingsOptions(presets=("small",), batch=2, rounds=3))
    lines = (tmp_path / "settings.csv").read_text().splitlines()
    names = ("phase", "setting", "without, s", "with, s", "times as fast", "not measured")
    assert [tuple(row[name] for name in names) for row in csv.DictReader(lines[1:])] == [
        ("training", "huge pages", "0.3000", "0.2500", "1.20", ""),
        ("training", "oneDNN", "0.6250", "0.2500", "2.50", ""),
        ("inference", "huge pages", "0.0600", "0.0800", "0.75", ""),
        ("inference", "oneDNN", "0.0000", "0.0800", "", REASON),
    ]


def test_a_worker_without_onednn_tells_tensorflow_so():
    with Worker("os", **settings.LACKING["oneDNN"]) as worker:
        assert worker.ask("getenv", "TF_ENABLE_ONEDNN_OPTS") == "0"


@pytest.mark.parametrize("name", ["batch", "rounds"])
def test_nothing_to_time_is_an_error(name):
    with pytest.raises(UserError, match=f"--{name} must be positive, got 0"):
        settings.main(settings.SettingsOptions(**{name: 0}))
