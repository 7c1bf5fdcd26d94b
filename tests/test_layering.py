"""Which package may import which."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGES = ("fstcn_keras", "training", "analysis")
FILES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
FORBIDDEN = {
    "fstcn_keras": {
        *("training", "analysis", "tensorflow", "torch", "jax", "ray", "tests", "benchmarks")
    },
    "training": {"ray", "tests", "benchmarks"},
    "analysis": {"ray", "tests", "benchmarks"},
}
MAY_IMPORT = {
    "fstcn_keras/export/quantization.py": {"tensorflow"},
    "fstcn_keras/export/saved_model.py": {"tensorflow"},
    "fstcn_keras/export/saved_scorer.py": {"tensorflow"},
    "fstcn_keras/acceleration/dispatch.py": {"tensorflow"},  # once it is known to be what runs
    "training/cluster_jobs.py": {"ray"},  # on a cluster
    "training/on_cluster.py": {"ray"},  # once it is known to be installed
}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_flow_one_way(path):
    name = path.relative_to(ROOT).as_posix()
    forbidden = FORBIDDEN[name.split("/")[0]] - MAY_IMPORT.get(name, set())
    assert not imported_packages(path) & forbidden


def imported_files(path: Path) -> Iterator[Path]:
    """Yields the files of the project that one names in its imports, wherever in it they stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                yield file_of(name) or file_of(node.module)
        elif isinstance(node, ast.Import):
            yield from (file_of(alias.name) for alias in node.names)


def file_of(module: str) -> Path | None:
    place = ROOT / module.replace(".", "/")
    return next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.exists()), None)


def test_no_module_needs_itself():
    """Nor for types alone: what two modules need of each other is a third one."""
    files = {*FILES, *(ROOT / "benchmarks").glob("*.py")}
    needed = {path: {*imported_files(path)} & files for path in files}
    graphlib.TopologicalSorter(needed).prepare()  # raises a CycleError that names them
