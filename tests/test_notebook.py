"""The notebook in docs/: it holds no outputs, which could go stale, and runs as it stands."""

import ast
import json

import pytest

from tests.processes import ROOT

NOTEBOOK = ROOT / "docs" / "first_project.ipynb"
TIMEOUT_S = 900


def code_cells() -> list[dict]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_it_holds_no_outputs():
    assert all(not c["outputs"] and c["execution_count"] is None for c in code_cells())


def test_its_code_is_python_but_for_commands():
    for cell in code_cells():
        lines = (line for line in "".join(cell["source"]).splitlines() if line[0:1] != "!")
        ast.parse("\n".join(lines))


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources=resources).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output.data.get("text/html", "") for o in outputs for output in o if "data" in output]
    assert sum("accuracy" in page and "chance 25.0 %" in page for page in shown) == 1
    answers = [page for page in shown if "my-videos/" in page]
    assert len(answers) == 4
    assert all('src="data:image/png;base64,' in page for page in answers)
    run = tmp_path / "runs" / "first-project"
    for name in ("metrics.json", "figures/errors.json", "figures/report.html"):
        assert (run / name).is_file()
