"""The page of results shows what the files of results hold."""

from benchmarks import tables
from benchmarks.report import RESULTS


def test_the_readme_shows_every_result():
    text = tables.README.read_text(encoding="utf-8")
    assert tables.filled(text) == text
    names = sorted(file.stem for file in RESULTS.glob("*.csv"))
    assert sorted({*tables._PLACE.findall(text)}) == names


def test_a_table_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    (tmp_path / "speed.csv").write_text('# a machine; today\nwhat,"s, median"\nx,1.5\n"y, z",2\n')
    text = "before\n<!-- speed.csv -->\nold\n<!-- end -->\nafter\n"
    expected = """before
<!-- speed.csv -->
| what | s, median |
| --- | --- |
| x | 1.5 |
| y, z | 2 |

a machine; today
<!-- end -->
after
"""
    assert tables.filled(text) == tables.filled(tables.filled(text)) == expected
