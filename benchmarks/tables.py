"""Puts the CSV files into benchmarks/README.md: python -m benchmarks.tables

What stands between `<!-- NAME.csv -->` and `<!-- end -->` becomes the table of
`results/NAME.csv`, with its line of circumstances below, and a mark if the code that it measures
has changed since, as git has it.
"""

import csv
import re

from benchmarks import currency
from benchmarks.report import RESULTS
from fstcn_keras.files import atomic_write_text

README = RESULTS.parent / "README.md"
OLDER = "**Older than the code that it measures.**"
_PLACE = re.compile(r"<!-- (?P<name>[\w-]+)\.csv -->\n.*?<!-- end -->", re.DOTALL)


def main():
    """Fills in all tables."""
    atomic_write_text(README, filled(README.read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """The text with the tables as the CSV files have them."""
    return _PLACE.sub(lambda place: _table(place["name"]), text)


def _table(name: str) -> str:
    result = RESULTS / f"{name}.csv"
    with result.open(newline="", encoding="utf-8") as file:
        circumstances = file.readline().removeprefix("#").strip()
        names, *rows = csv.reader(file)
    lines = [names, ["---"] * len(names), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    code = currency.measured_by(circumstances)
    if currency.has_history() and currency.is_older(result, code):
        circumstances = f"{OLDER} {circumstances}"
    return f"<!-- {name}.csv -->\n{table}\n\n{circumstances}\n<!-- end -->"


if __name__ == "__main__":
    main()
