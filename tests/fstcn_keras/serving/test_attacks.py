"""All attacks on the server and predict: pytest -m slow tests/fstcn_keras/serving/test_attacks.py

Those that take no time are among the default tests too.
"""

# ruff: noqa: E402, F403

import pytest

pytest.register_assert_rewrite(
    *(f"tests.fstcn_keras.serving.{name}" for name in ("floods", "reach"))
)

from tests.fstcn_keras.serving.floods import *
from tests.fstcn_keras.serving.reach import *
from tests.fstcn_keras.serving.test_hostile_requests import *
from tests.fstcn_keras.serving.test_workers import *

pytestmark = pytest.mark.slow
