"""Steps with kept and with returned memory, Keras alone."""

import csv
import importlib.util

import pytest

from benchmarks import allocation, report


def test_the_ratio_is_of_the_two_times(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    allocation.main(allocation.AllocationOptions(presets=("small",), batch=2, rounds=1))
    rows = list(csv.DictReader((tmp_path / "allocation.csv").read_text().splitlines()[1:]))
    found = [(row["preset"], row["framework"], row["precision"]) for row in rows]
    assert found == [("small", "Keras", "float32"), ("small", "Keras", "bfloat16")]
    for row in rows:
        ratio = float(row["kept, s"]) / float(row["given back, s"])
        assert float(row["kept / given back"]) == pytest.approx(ratio, abs=0.01)
        assert not row["not measured"]
