"""What is seen of TensorFlow's log while it is imported."""

import os
import subprocess
import sys

import pytest

from fstcn_keras.import_log import NOISE
from tests.processes import ROOT

SET_UP = "from fstcn_keras.process import set_up_process\nset_up_process(tensorflow=True)\n"
LOG = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1 port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2, rebuild TensorFlow.
"""
WARNING = "W0000 00:00:1 gpu.cc:1] Cannot dlopen some GPU libraries\n"


def finished(code: str, folder, **environment: str) -> subprocess.CompletedProcess[str]:
    """The process of the code, in which a package of the folder is found first."""
    inherited = {name: v for name, v in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**inherited, "PYTHONPATH": path, "FSTCN_KERAS_LAZY": "1", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture
def tensorflow(tmp_path):
    """Makes a package of that name."""

    def write(code: str):
        (tmp_path / "tensorflow").mkdir()
        (tmp_path / "tensorflow" / "__init__.py").write_text(code)
        (tmp_path / "tensorflow" / "part.py").touch()

    return write


def test_what_says_nothing_is_dropped_and_all_else_is_shown(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {(LOG + WARNING).encode()!r})")
    done = finished(f"{SET_UP}import os, tensorflow.part; os.write(2, b'I0000 later\\n')", tmp_path)
    assert (done.returncode, done.stderr) == (0, f"{WARNING}I0000 later\n")


def test_who_asks_for_the_whole_log_gets_it(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {LOG.encode()!r})")
    done = finished(f"{SET_UP}import tensorflow", tmp_path, TF_CPP_MIN_LOG_LEVEL="0")
    assert (done.returncode, done.stderr) == (0, LOG)


def test_an_import_that_fails_says_why(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {LOG.encode()!r}); import nothing_of_this_name")
    done = finished(f"{SET_UP}import tensorflow", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("No module named 'nothing_of_this_name'\n")


def test_the_last_words_of_an_abort_are_heard(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {LOG.encode()!r} + b'F0000 no AVX\\n'); os.abort()")
    done = finished(f"{SET_UP}import tensorflow", tmp_path)
    assert done.returncode < 0
    assert done.stderr == "F0000 no AVX\n"


def test_a_process_that_is_started_meanwhile_is_heard_afterwards(tmp_path, tensorflow):
    child = "import sys; sys.stdin.read(); print('from the child', file=sys.stderr)"
    tensorflow(
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {child!r}]\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE)\n"
    )
    code = "import tensorflow\ntensorflow.child.communicate()\n"
    assert finished(f"{SET_UP}{code}", tmp_path).stderr == "from the child\n"


def test_a_closed_stderr_and_a_module_that_is_its_own(tmp_path, tensorflow):
    tensorflow("")
    code = (
        "set_up_process(tensorflow=True)\n"
        "import os, sys, importlib.machinery as machinery, importlib.util\n"
        "assert importlib.util.find_spec('tensorflow').loader.get_filename()\n"
        "keep = os.dup(2); os.close(2); sys.stderr = None\n"
        "import tensorflow\n"
        "os.dup2(keep, 2); sys.stderr = sys.__stderr__\n"
        "assert isinstance(tensorflow.__spec__.loader, machinery.SourceFileLoader)\n"
        "assert tensorflow.__loader__ is tensorflow.__spec__.loader\n"
        "assert ['Quiet' in type(finder).__name__ for finder in sys.meta_path].count(True) == 1\n"
    )
    done = finished(SET_UP + code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_package_that_only_another_finder_finds(tmp_path, tensorflow):
    tensorflow(f"import os; os.write(2, {(LOG + WARNING).encode()!r})")
    (tmp_path / "tensorflow").rename(tmp_path / "elsewhere")
    code = (
        "import importlib.util, sys\n"
        "class Finder:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'tensorflow':\n"
        f"            file = {str(tmp_path / 'elsewhere' / '__init__.py')!r}\n"
        "            return importlib.util.spec_from_file_location(name, file)\n"
        "sys.meta_path.insert(1, Finder)\n"
        "import tensorflow\n"
    )
    done = finished(SET_UP + code, tmp_path)
    assert (done.returncode, done.stderr) == (0, WARNING)


def test_tensorflow_itself_is_quiet(tmp_path):
    code = "import keras, tensorflow; tensorflow.config.list_physical_devices()"
    done = finished(SET_UP + code, tmp_path)
    assert done.returncode == 0
    assert not [line for line in done.stderr.encode().splitlines() if line.startswith(NOISE)]
