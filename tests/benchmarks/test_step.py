"""The comparison of training steps: its arithmetic, and one run of Keras alone."""

import csv
import importlib.util

import pytest

from benchmarks import report
from benchmarks.workers import Case, Measured

pytest.importorskip("tensorflow")

from benchmarks import step


def measured(function: str, precision: str, *, flops: float, seconds: float) -> Measured:
    labels = {"precision": precision}
    case = Case(labels=labels, worker="Keras", function=function, arguments={})
    return Measured(case=case, flops=flops, seconds=seconds)


def test_shares_are_of_the_best_product_in_each_precision():
    rows = step.table(
        [
            measured("peak", "float32", flops=100e9, seconds=2),
            measured("peak", "float32", flops=100e9, seconds=1),
            measured("peak", "bfloat16", flops=100e9, seconds=0.5),
            measured("step", "bfloat16", flops=240e9, seconds=4),
        ],
        batch=8,
    )
    shares = [(row["of float32 peak"], row["of bfloat16 peak"]) for row in rows]
    assert shares == [
        ("0.500", "0.250"),
        ("1.000", "0.500"),
        ("2.000", "1.000"),
        ("0.600", "0.300"),
    ]
    assert [row["clips/s"] for row in rows] == ["", "", "", "2"]
    assert rows[-1]["GFLOP/s"] == "60.0"


def test_bfloat16_is_left_out_where_it_is_slow(monkeypatch, capsys):
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda: False)
    precisions = step.native_precisions()
    assert "no products of bfloat16" in capsys.readouterr().err
    cases = list(step.all_cases("small", ["Keras", "PyTorch"], precisions, step.StepOptions()))
    # two products; of each phase Keras, PyTorch plain and tuned, and two peers
    assert len(cases) == 2 + 2 * (3 + 2)
    assert {case.labels["precision"] for case in cases} == {"float32"}


def test_keras_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda: True)
    step.main(step.StepOptions(presets=("small",), batch=2, rounds=1, matrix=256))
    printed = capsys.readouterr()
    assert printed.err == "Keras alone: for PyTorch, pip install -e '.[bench]'\n"
    lines = (tmp_path / "step.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines[1:]))
    found = {(row["network"], row["precision"], row["phase"]): row for row in rows}
    assert set(found) == {
        (network, precision, phase)
        for network, phases in {
            "matrix product": [""],
            "small": ["training", "inference"],
        }.items()
        for precision in ("float32", "bfloat16")
        for phase in phases
    }
    for row in rows:
        assert float(row["GFLOP/s"]) > 0
        assert not row["not measured"]
    assert "small" in printed.out
