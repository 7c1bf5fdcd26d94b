"""The comparison of training steps: what takes turns, and the arithmetic of the table."""

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
    assert [row["of float32 peak"] for row in rows] == ["0.500", "1.000", "2.000", "0.600"]
    assert [row["of bfloat16 peak"] for row in rows] == ["0.250", "0.500", "1.000", "0.300"]
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
    def measure(cases, workers, *, rounds):
        assert rounds == 1
        assert set(workers) == {"Keras"}
        assert {case.worker for case in cases} == {"Keras"}
        return [Measured(case=case, flops=8e9, seconds=2) for case in cases]

    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(step, "measure", measure)
    step.main(step.StepOptions(presets=("small",), batch=2, rounds=1, matrix=256))
    printed = capsys.readouterr()
    assert printed.err == "Keras alone: for PyTorch, pip install -e '.[bench]'\n"
    rows = list(csv.DictReader((tmp_path / "step.csv").read_text().splitlines()[1:]))
    expected = [("matrix product", ""), ("small", "training"), ("small", "inference")]
    assert [(row["network"], row["phase"]) for row in rows[::2]] == expected
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"] * 3
    assert {(row["seconds"], row["GFLOP/s"]) for row in rows} == {("2.0000", "4.0")}
    assert "small" in printed.out
