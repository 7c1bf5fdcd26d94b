"""The comparison on a GPU, tried on a CPU."""

import csv
from importlib.util import find_spec

import pytest

from benchmarks import gpu, report
from tests.processes import run_python


def test_it_runs_and_writes_its_table(monkeypatch, tmp_path, capsys):
    pytest.importorskip("jax", reason="JAX is not installed")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    arguments = "--presets small lite --batches 2 --repeats 1 --rounds 1 --matrix 128"
    gpu.main(arguments.split())
    lines = (tmp_path / "gpu.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines[1:]))
    frameworks = ["Keras", "PyTorch"] if find_spec("torch") else ["Keras"]
    phases = ("training", "inference")
    expected = [
        (framework, *step)
        for preset in ("small", "lite")
        for framework in frameworks
        for step in [("matrix product 128", ""), *((f"{preset}, {p}", "2") for p in phases)]
    ]
    assert [(row["framework"], row["what"], row["batch"]) for row in rows] == expected
    for row in rows:
        assert not row["not measured"]
        assert row["device"].lower() == "cpu"
    assert "clips/s" in capsys.readouterr().out


def test_it_starts_without_tensorflow():
    hidden = "tensorflow", "training", "jsonargparse", "av"
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden})); import benchmarks.gpu"
    code += "; import benchmarks.jax_steps" if find_spec("jax") else ""
    run_python(code, KERAS_BACKEND="jax", FSTCN_KERAS_LAZY="1")


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_batch_of_nothing_is_refused(value, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--batches", value])
    assert f"must be positive, got {value}" in capsys.readouterr().err
