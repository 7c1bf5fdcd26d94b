"""What importing costs, and what it must bring along."""

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
    "module", ["fstcn_keras.video", "fstcn_keras.presets", "fstcn_keras.export"]
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
