"""Colours and markers in pictures."""

import pytest

from analysis.style import class_styles


@pytest.mark.parametrize("number", [8, 104])
def test_no_two_classes_look_alike(number):
    assert len(set(class_styles([str(n) for n in range(number)]).values())) == number
