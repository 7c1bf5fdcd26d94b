"""Networks small enough for tests."""

TINY = {  # of `fstcn` and `auxiliary_classifier`; 68 pixels become maps of 3x3
    "preset": "small",
    "crop_size": 68,
    "short_side": 68,
    "clip_length": 3,
    "width": 0.125,
    "path_units": (16, 8),
    "joint_units": 8,
}
