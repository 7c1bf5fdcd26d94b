"""What several modules of these tests share."""

from pathlib import Path

import pytest

from tests.training.colours import save_colour_run


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory) -> Path:
    """The folder of a run whose network names colours."""
    return save_colour_run(tmp_path_factory.mktemp("colours") / "run")
