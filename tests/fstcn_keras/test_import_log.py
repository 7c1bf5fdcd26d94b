"""What is seen of TensorFlow's log while it is imported."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

NAMELESS = ("FSTCN_KERAS_LAZY", "TF_CPP_MIN_LOG_LEVEL")
SET_UP = "from fstcn_keras.process import set_up_process\nset_up_process(tensorflow=True)\n"
NOISE = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1 port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2, rebuild TensorFlow.
"""


def stderr(code: str, tmp_path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in NAMELESS}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    environment |= {"FSTCN_KERAS_LAZY": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stderr


@pytest.fixture
def tensorflow(tmp_path):
    """A package of that name, as the code that it consists of."""

    def write(code: str):
        (tmp_path / "tensorflow").mkdir()
        (tmp_path / "tensorflow" / "__init__.py").write_text(code)
        (tmp_path / "tensorflow" / "part.py").touch()

    return write


def test_what_says_nothing_is_dropped_and_all_else_is_shown(tmp_path, tensorflow):
    warning = "W0000 00:00:1 gpu.cc:1] Cannot dlopen some GPU libraries\n"
    tensorflow(f"import os; os.write(2, {(NOISE + warning).encode()!r})")
    code = (
        "import os, tensorflow.part; os.write(2, b'I0000 later\\n'); print(tensorflow.__loader__)"
    )
    assert stderr(SET_UP + code, tmp_path) == f"{warning}I0000 later\n"


def test_an_import_that_fails_says_why(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {NOISE.encode()!r}); import nothing_of_this_name")
    found = stderr(SET_UP + "import tensorflow", tmp_path)
    assert found.startswith("Traceback")
    assert found.endswith("No module named 'nothing_of_this_name'\n")


def test_a_closed_stderr_and_a_module_that_is_its_own(tmp_path, tensorflow):
    tensorflow("")
    code = (
        "import os, sys, importlib.machinery as machinery\n"
        "keep = os.dup(2); os.close(2)\n"
        "import tensorflow\n"
        "os.dup2(keep, 2)\n"
        "assert isinstance(tensorflow.__spec__.loader, machinery.SourceFileLoader)\n"
        "assert tensorflow.__loader__ is tensorflow.__spec__.loader\n"
        "assert not any('Quiet' in type(finder).__name__ for finder in sys.meta_path)\n"
    )
    assert stderr(SET_UP + code, tmp_path) == ""


def test_tensorflow_itself_is_quiet(tmp_path):
    code = "import keras, tensorflow; tensorflow.config.list_physical_devices()"
    assert "I0000" not in stderr(SET_UP + code, tmp_path)
