"""Scripts in examples/ take the views that the library takes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fstcn_keras import ViewPlan
from fstcn_keras.clips import SAMPLINGS
from fstcn_keras.config import preset_config

SCRIPT = Path(__file__).parents[1] / "examples" / "predict_on_device.py"


@pytest.mark.parametrize("num_clips", [1, 5])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_frame_numbers_on_a_device_are_those_of_the_plan(sampling, num_clips):
    specification = importlib.util.spec_from_file_location("predict_on_device", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    config = preset_config("small", sampling=sampling)
    plan = ViewPlan.from_config(config, num_clips=num_clips)
    for num_frames in (1, 2, 29, 30, 31, 64, 130, 1001):
        found = script.frame_numbers(num_frames, plan.settings())
        np.testing.assert_array_equal(found, plan.pair_indices(num_frames))
