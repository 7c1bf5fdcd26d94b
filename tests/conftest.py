"""What all tests share."""

import gc
import os
import signal
from pathlib import Path

import keras
import pytest
from xdist.scheduler import LoadScopeScheduling

pytest.register_assert_rewrite("tests.contracts")

MAX_WORKERS = 4  # each has TensorFlow, and networks, in memory
TOGETHER = {  # the folders whose modules share what takes seconds to make
    "tests/analysis/": "runs",
    "tests/fstcn_keras/export/": "exported",
    "tests/fstcn_keras/serving/": "exported",
}


# a shell ignores Ctrl-C for what it starts in the background, and so would all that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core; 0, none but this process, for named modules and for slow tests.

    A named module starts sooner so, and slow tests measure time.
    """
    named = any(argument.partition("::")[0].endswith(".py") for argument in config.args)
    cores = min(os.cpu_count() or 1, MAX_WORKERS)
    return 0 if named or config.option.markexpr != "not slow" or cores == 1 else cores


class ModulesTogether(LoadScopeScheduling):
    """Gives a worker whole modules, and those of some folders to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.partition("::")[0]
        groups = (group for folder, group in TOGETHER.items() if name.startswith(folder))
        return next(groups, name)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ModulesTogether:
    return ModulesTogether(config, log)


def pytest_collection_finish():
    """Spares the collector what was imported: training makes it look at everything alive."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory):
    """Tests neither fill the user's cache folder nor find there what earlier ones have left.

    Matplotlib's list of fonts, which takes seconds to make, stays where it is.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MPLCONFIGDIR", str(cache / "matplotlib"))
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
