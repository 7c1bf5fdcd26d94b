"""The page of results shows what the files of results hold, and which are older than their code."""

import subprocess

import pytest

from benchmarks import currency, tables
from benchmarks.report import RESULTS
from benchmarks.summary import Comparison


def test_the_readme_shows_every_result():
    """Fails too where code has changed: `python -m benchmarks.tables` marks what is older now."""
    text = tables.README.read_text(encoding="utf-8")
    shown = text if currency.has_history() else text.replace(f"{tables.OLDER} ", "")
    assert tables.filled(text) == shown
    names = sorted(file.stem for file in RESULTS.glob("*.csv"))
    assert sorted({*tables._PLACE.findall(text)}) == sorted([*names, tables.SUMMARY])


def test_a_table_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(currency, "is_older", lambda result, code: code == currency.NETWORK)
    (tmp_path / "speed.csv").write_text(
        '# python -m benchmarks.layers\nwhat,"s, median"\nx,1.5\n"y, z",2\n'
    )
    text = "before\n<!-- speed.csv -->\nold\n<!-- end -->\nafter\n"
    expected = """before
<!-- speed.csv -->
| what | s, median |
| --- | --- |
| x | 1.5 |
| y, z | 2 |

**Older than the code that it measures.** python -m benchmarks.layers
<!-- end -->
after
"""
    assert tables.filled(text) == tables.filled(tables.filled(text)) == expected


def test_the_summary_takes_the_fastest_of_each_side():
    comparison = Comparison(
        job="a step",
        result="step",
        seconds="seconds",
        named_by=("framework", "form"),
        ours="Keras",
        peers=("PyTorch", "JAX"),
        only={"network": "small"},
    )
    columns = ("framework", "form", "network", "seconds")
    rows = [
        ("Keras", "", "small", "0.5"),
        ("Keras", "plain", "small", "0.4"),
        ("Keras", "plain", "small", "0.6"),  # of the same name
        ("Keras", "", "paper", "0.1"),  # of another network
        ("PyTorch", "plain", "small", "1.5"),
        ("PyTorch", "tuned", "small", ""),  # not measured
        ("JAX", "", "small", "1"),
        ("other", "", "small", "0.01"),  # on neither side
    ]
    assert comparison.line([dict(zip(columns, row, strict=True)) for row in rows]) == {
        "job": "a step",
        "ours": "Keras plain: 0.4 s",
        "best peer": "JAX: 1 s",
        "times as fast": "2.5",
    }
    with pytest.raises(ValueError, match=r"step.csv has no row for a step: \('Keras',\)"):
        comparison.line([])


def test_a_result_is_older_once_its_code_has_changed(tmp_path, monkeypatch):
    def git(*arguments: str):
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit():
        git("add", "-A")
        git("commit", "-m", "a change")

    monkeypatch.setattr(currency, "ROOT", tmp_path)
    assert not currency.has_history()
    git("init")
    assert currency.has_history()
    result, code = tmp_path / "speed.csv", tmp_path / "package" / "code.py"
    code.parent.mkdir()
    code.write_text("1")
    (tmp_path / "other.py").write_text("1")
    result.write_text("1")
    commit()
    assert not currency.is_older(result, ("package",))
    (tmp_path / "other.py").write_text("2")
    assert not currency.is_older(result, ("package",))
    code.write_text("2")
    assert currency.is_older(result, ("package",))  # before the commit and after it
    commit()
    assert currency.is_older(result, ("package",))
    result.write_text("2")
    assert not currency.is_older(result, ("package",))
    commit()
    assert not currency.is_older(result, ("package",))


@pytest.mark.parametrize("module", sorted(currency.MEASURED))
def test_the_code_that_is_measured_is_there(module):
    assert (currency.ROOT / f"benchmarks/{module}.py").exists()
    for path in currency.MEASURED[module]:
        assert (currency.ROOT / path).exists()
