"""Pictures of a run: how names find room in them."""

import numpy as np
import pytest

from training.figures import draw_confusion, short_name


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert short_name("walk") == "walk"
    assert short_name("abcdefghij", 10) == "abcdefghij"
    assert short_name("abcdefghijk", 10) == "abcde…hijk"
    assert short_name("abcdefghijkl", 9) == "abcd…ijkl"


@pytest.mark.parametrize("length", [4, 40, 400])
@pytest.mark.parametrize("number", [2, 5, 50])
def test_a_confusion_matrix_has_its_room_beside_names_of_any_length(number, length):
    names = tuple(f"{n:0{length}}" for n in range(number))
    figure = draw_confusion(np.arange(number), np.arange(number), names, caption="of some run")
    figure.draw_without_rendering()
    matrix = figure.axes[0].get_window_extent()
    assert min(matrix.width, matrix.height) / figure.dpi > 0.12 * number  # 7 points and more
    ends = [label.get_window_extent().x0 for label in figure.axes[0].get_yticklabels()]
    assert min(ends) >= 0
    named = figure.axes[1].yaxis.label.get_window_extent()
    assert named.y0 >= 0
    assert named.y1 <= figure.bbox.height
    assert named.x1 <= figure.bbox.width
