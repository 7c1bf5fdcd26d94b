"""A finished run to look at: an untrained network, judged by coloured noise."""

import numpy as np
import pytest

from fstcn_keras import PRESETS, ActionClassifier, ViewPlan
from fstcn_keras.runs import RunFolder
from tests.videos import write_video
from training.evaluate import evaluate_again
from training.leakage import record_training_videos
from training.options import FitOptions, write_config
from training.parts import build
from training.stages import initial_network

TEST_VIDEOS = {"blue <b>": 4, "green": 4, "red": 4, "single": 1}
COLOURS = {"blue <b>": (0, 0, 150), "green": (0, 150, 0), "red": (150, 0, 0), "single": (90,) * 3}


@pytest.fixture(scope="session")
def coloured_videos(tmp_path_factory):
    """Four classes told apart by colour; the last has one test video."""
    root = tmp_path_factory.mktemp("coloured")
    generator = np.random.default_rng(0)
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir()
    for name, count in TEST_VIDEOS.items():
        for number in range(count + 1):
            frames = generator.integers(0, 100, (8 + number, 48, 64, 3), dtype=np.uint8)
            frames += np.uint8(COLOURS[name])
            write_video(root / name / f"{number} & 'x'$.avi", frames, codec="mpeg4")
        lines = [f"{number} & 'x'$.avi {2 if number else 1}\n" for number in range(count + 1)]
        (lists / f"{name}_test_split1.txt").write_text("".join(lines))
    return root


def make_run(run, data, **changes):
    """A run of an untrained network on the videos, evaluated."""
    given = {"dataset": "hmdb51", "data_dir": data, "store": data / "store", "out": run}
    options = build(FitOptions, num_clips=2, precision="float32", **given, **changes)
    run.mkdir()
    write_config(options, run / "config.yaml")
    record_training_videos(RunFolder(run), train=[], held_out=[])
    classifier = ActionClassifier(
        initial_network(options, num_classes=len(TEST_VIDEOS)),
        classes=list(TEST_VIDEOS),
        plan=ViewPlan.from_config(PRESETS[options.backbone.preset], num_clips=options.num_clips),
    )
    classifier.save(run)
    evaluate_again(options)
    return run


@pytest.fixture(scope="session")
def finished_run(coloured_videos, tmp_path_factory):
    """A run of both paths."""
    return make_run(tmp_path_factory.mktemp("runs") / "both", coloured_videos)


@pytest.fixture(scope="session")
def spatial_run(coloured_videos, tmp_path_factory):
    """A run of the spatial path alone."""
    return make_run(
        tmp_path_factory.mktemp("runs") / "spatial", coloured_videos, paths=("spatial",)
    )
