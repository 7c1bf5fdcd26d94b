"""What importing costs, and what it must bring along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def printed(code: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()


@pytest.mark.parametrize(
    "module", ["fstcn_keras.video", "fstcn_keras.config", "fstcn_keras.export"]
)
def test_what_needs_no_network_starts_without_keras(module):
    code = f"import sys, {module}; print(*({{'keras', 'tensorflow', 'jax'}} & sys.modules.keys()))"
    assert printed(code) == []


def test_preparing_starts_without_tensorflow():
    pytest.importorskip("tensorflow")
    code = "import sys, training.prepare; print(*({'keras', 'tensorflow'} & sys.modules.keys()))"
    assert printed(code) == []


@pytest.mark.parametrize("imports", ["fstcn_keras, keras", "keras, fstcn_keras"])
def test_layers_are_registered_whichever_is_imported_first(imports):
    code = f"import {imports}; print(keras.saving.get_registered_object('fstcn_keras>TPOperator'))"
    assert "fstcn_keras.layers.tp_operator.TPOperator" in " ".join(printed(code))


def tensorflow_import(folder: Path, source: str, *, before: str = "", close: bool = False):
    """Has a process import a package that is called TensorFlow."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(f"import os\n{source}")
    code = f"from fstcn_keras import imports, processor\n{before}\n"
    code += "imports.set_up_tensorflow()\nimport tensorflow\nprint('imported')"
    paths = [str(folder), str(Path(__file__).parents[1])]
    return subprocess.run(
        ["sh", "-c", 'exec "$@"' + (" 2>&-" if close else ""), "sh", sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


SAYS = "os.write(2, b'what C++ says')\n"


def test_what_tensorflow_prints_while_it_is_imported_is_held_back(tmp_path):
    run = tensorflow_import(tmp_path, SAYS)
    assert (run.stdout, run.stderr, run.returncode) == ("imported\n", "", 0)


def test_it_is_printed_if_the_import_fails(tmp_path):
    run = tensorflow_import(tmp_path, f"{SAYS}raise ImportError('no library')")
    assert "what C++ says" in run.stderr
    assert "no library" in run.stderr


def test_it_is_printed_where_tensorflow_aborts(tmp_path):
    known = "imports.instructions = lambda: frozenset({'sse2'})"
    run = tensorflow_import(tmp_path, f"{SAYS}os.abort()", before=known)
    assert "what C++ says" in run.stderr


@pytest.mark.parametrize(
    ("before", "close"), [("imports.tempfile.tempdir = '/no/such/folder'", False), ("", True)]
)
def test_without_a_place_for_it_nothing_is_held_back(tmp_path, before, close):
    run = tensorflow_import(tmp_path, "", before=before, close=close)
    assert (run.stdout, run.returncode) == ("imported\n", 0)
