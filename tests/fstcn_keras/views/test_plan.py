"""The clip of every second, against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from fstcn_keras import ViewPlan, clips

RATES = [3, 10, 12, Fraction(25, 2), Fraction(24000, 1001), 25, Fraction(30000, 1001), 60]


def starts_by_second(num_frames: int, rate: Fraction, span: int) -> list[int]:
    """The clip's middle is nearest that of the second, halves of a frame up, inside the video."""
    starts = []
    for second in range(max(1, math.ceil(num_frames / rate))):
        middle = min((second + Fraction(1, 2)) * rate, Fraction(num_frames))
        start = math.floor(middle - Fraction(span, 2) + Fraction(1, 2))
        starts.append(min(max(0, start), max(0, num_frames - span)))
    return starts


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("timing", [(2, 1, 3), (2, 2, 3), (5, 5, 9)])  # spans of 5, 6 and 30
def test_the_clip_of_every_second_whatever_floats_add_up_to(rate, timing):
    names = ("clip_length", "stride", "distance")
    sizes = dict(zip(names, timing, strict=True))
    plan = ViewPlan(num_clips=1, short_side=8, crop_size=6, **sizes)
    rate = Fraction(rate)
    for num_frames in (1, 7, 25, 50, 61, 250, 1000):
        starts = starts_by_second(num_frames, rate, clips.span(**sizes))
        expected = [clips.pair_indices(start, num_frames, **sizes).tolist() for start in starts]
        divided = np.arange(num_frames + 1) / float(rate)
        added = np.concatenate([[0], np.cumsum(np.full(num_frames, float(1 / rate)))])
        for times in (divided, added):
            assert plan.pair_indices_by_second(times).tolist() == expected
