"""What importing costs, and what it must bring along."""

import subprocess
import sys

import pytest

from fstcn_keras import layers, process
from tests.processes import ROOT, run_python
from training.console import COMMANDS

SLOW = {"keras", "tensorflow", "jax", "torch", "kserve", "ray", "sklearn", "pandas"}
HELP_MODULES = 2000  # imported for `--help`; TensorFlow alone imports more
SET = ("FSTCN_KERAS_LAZY", "KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")


def printed(code: str, **environment: str) -> list[str]:
    return run_python(code, without=SET, **environment).split()


@pytest.mark.parametrize(
    "module",
    [
        *(f"fstcn_keras.{name}" for name in ("video", "config", "export", "serving.decoding")),
        "training.console",
    ],
)
def test_what_needs_no_network_starts_without_keras(module):
    pytest.importorskip("kserve" if "serving" in module else "sys")
    code = f"import sys, {module}; print(*({SLOW} & sys.modules.keys()))"
    assert printed(code, FSTCN_KERAS_LAZY="1") == []


def test_a_servers_decoder_has_its_code_before_its_memory_is_bounded():
    pytest.importorskip("kserve")
    code = "import sys, fstcn_keras.serving.decoding; print('scipy.sparse' in sys.modules)"
    assert printed(code, FSTCN_KERAS_LAZY="1") == ["True"]


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_help_comes_at_once_and_in_words(module):
    pytest.importorskip("kserve" if "serve" in module else "sys")
    command = [sys.executable, "-X", "importtime", "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not SLOW & imported
    assert len(imported) < HELP_MODULES  # a busy machine may take any time for them
    assert "--" in done.stdout
    assert "<function" not in done.stdout
    assert "<class" not in done.stdout


UNCHANGED = "before == (list(sys.meta_path), dict(os.environ)) or 'changed'"


def test_importing_hooks_nothing_and_sets_nothing():
    code = (
        "import os, sys\n"
        "before = list(sys.meta_path), dict(os.environ)\n"
        "import training, training.cli, training.fit, training.data.preparation\n"
        f"print({UNCHANGED})\n"
    )
    assert printed(code, KERAS_BACKEND="jax", FSTCN_KERAS_LAZY="1") == ["True"]


@pytest.mark.parametrize("imports", [("fstcn_keras", "keras"), ("keras", "fstcn_keras")])
def test_layers_are_registered_whichever_is_imported_first(imports):
    """Imported after Keras, the library hooks and sets nothing either."""
    names = layers.__all__
    code = (
        f"import os, sys, {imports[0]}\n"
        "before = list(sys.meta_path), dict(os.environ)\n"
        f"import {imports[1]}\n"
        f"print({UNCHANGED})\n"
        f"for name in {names}:\n"
        "    print(keras.saving.get_registered_object('fstcn_keras>' + name).__name__)\n"
    )
    unchanged, *registered = printed(code)
    assert registered == names
    assert unchanged == "True" or imports[1] == "keras"


def test_the_process_is_set_up_once_and_what_the_environment_says_stays():
    code = (
        "import os, sys\n"
        "from fstcn_keras.process import set_up_process\n"
        "set_up_process(tensorflow=True)\n"
        "names = 'KERAS_BACKEND', 'TF_ENABLE_ONEDNN_OPTS', 'TF_CPP_MIN_LOG_LEVEL'\n"
        "print(*(os.environ[name] for name in names), 'keras' in sys.modules)\n"
    )
    level = "1" if any(device.exists() for device in process.GPU_DEVICES) else "3"
    assert printed(code, FSTCN_KERAS_LAZY="1") == ["tensorflow", "1", level, "False"]
    own = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "0", "FSTCN_KERAS_LAZY": "1"}
    assert printed(code, **own) == ["tensorflow", "0", "0", "False"]


@pytest.mark.parametrize(("there", "level"), [(True, "1"), (False, "3")])
def test_the_log_is_of_computers_with_a_gpu(there, level, monkeypatch, tmp_path):
    monkeypatch.setattr(process, "GPU_DEVICES", (tmp_path / "no", tmp_path / "device"))
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if there:
        (tmp_path / "device").touch()
    process.set_up_environment()
    assert process.os.environ["TF_CPP_MIN_LOG_LEVEL"] == level


def test_keras_comes_without_what_it_does_not_need_and_hides_nothing():
    code = (
        "import sys\n"
        "from fstcn_keras.process import UNUSED_BY_KERAS, import_keras\n"
        "import_keras()\n"
        "print('keras' in sys.modules, *(n in sys.modules for n in UNUSED_BY_KERAS))\n"
        "import sklearn.svm, matplotlib.figure\n"
    )
    assert printed(code, FSTCN_KERAS_LAZY="1", KERAS_BACKEND="tensorflow") == [
        "True",
        *("False",) * 3,
    ]
