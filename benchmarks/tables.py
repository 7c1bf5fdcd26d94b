"""Puts the CSV files into benchmarks/README.md: python -m benchmarks.tables

What stands between `<!-- NAME.csv -->` and `<!-- end -->` becomes the table of
`results/NAME.csv`, with its line of circumstances below, and a mark if the code that it measures
has changed since, as git has it. The first table, `<!-- summary -->`, is made of several.
"""

import csv
import re
from collections.abc import Iterable

from benchmarks import currency, summary
from benchmarks.report import RESULTS
from fstcn_keras.files import atomic_write_text

README = RESULTS.parent / "README.md"
OLDER = "**Older than the code that it measures.**"
_PLACE = re.compile(r"<!-- (?P<name>[\w-]+)(?:\.csv)? -->\n.*?<!-- end -->", re.DOTALL)
SUMMARY = "summary"


def main():
    """Fills in all tables."""
    atomic_write_text(README, filled(README.read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """The text with the tables as the CSV files have them."""
    return _PLACE.sub(lambda place: _table(place["name"]), text)


def _table(name: str) -> str:
    if name == SUMMARY:
        rows = summary.summary(read, lambda name: "older than the code" if is_marked(name) else "")
        return f"<!-- {name} -->\n{_markdown(rows)}\n<!-- end -->"
    circumstances, rows = read(name)
    if is_marked(name):
        circumstances = f"{OLDER} {circumstances}"
    return f"<!-- {name}.csv -->\n{_markdown(rows)}\n\n{circumstances}\n<!-- end -->"


def read(name: str) -> tuple[str, list[dict[str, str]]]:
    """Returns the circumstances and the rows of a file of results."""
    with (RESULTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        circumstances = file.readline().removeprefix("#").strip()
        return circumstances, list(csv.DictReader(file))


def is_marked(name: str) -> bool:
    """Returns whether the code that a file of results measures has changed since, as git has it."""
    if not currency.has_history():
        return False
    return currency.is_older(RESULTS / f"{name}.csv", currency.measured_by(read(name)[0]))


def _markdown(rows: list[dict[str, str]]) -> str:
    lines: list[Iterable[str]] = [rows[0], ["---"] * len(rows[0])]
    lines += [row.values() for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
