"""How pictures are turned and mirrored by the display matrix of their file."""

import itertools
import math
from fractions import Fraction

import av
import numpy as np
import pytest

from fstcn_keras.video import VideoReader
from fstcn_keras.video.orientation import Orientation
from tests.bad_videos import set_display_matrix
from tests.videos import write_video

ONE = 1 << 16
# the four turns and the four that mirror as well
EIGHT = [
    matrix
    for matrix in itertools.product((-1, 0, 1), repeat=4)
    if abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) == 1 and matrix.count(0) == 2
]


def nine(a: float, b: float, c: float, d: float) -> np.ndarray:
    return np.array([round(v * ONE) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 14)], np.int32)


def turned_by(degrees: float) -> tuple[float, float, float, float]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cos, sin, -sin, cos


def placed(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Puts the pixel `(x, y)` at `(a x + c y, b x + d y)`, shifted so that none is negative."""
    points = {
        (a * x + c * y, b * x + d * y): image[y, x]
        for y in range(image.shape[0])
        for x in range(image.shape[1])
    }
    left, top = (min(point[axis] for point in points) for axis in (0, 1))
    width, height = (1 + max(p[axis] for p in points) - o for axis, o in ((0, left), (1, top)))
    result = np.zeros((height, width, 3), np.uint8)
    for (x, y), value in points.items():
        result[y - top, x - left] = value
    return result


def test_there_are_eight():
    assert len(EIGHT) == 8


@pytest.mark.parametrize("matrix", EIGHT)
@pytest.mark.parametrize("scale", [1, 3])
def test_each_pixel_is_where_the_matrix_places_it(matrix, scale):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    orientation = Orientation.from_matrix(nine(*(scale * value for value in matrix)))
    assert orientation.degrees == 0
    np.testing.assert_array_equal(orientation.show(image), placed(image, *matrix))


@pytest.mark.parametrize("matrix", EIGHT)
def test_files_are_shown_as_they_ask(tmp_path, matrix):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, 32:], stored[24:, :32], stored[24:, 32:] = 80, 160, 240
    path = write_video(tmp_path / "v.mp4", np.stack([stored] * 2), codec="mpeg4")
    set_display_matrix(path, matrix)
    first, second = VideoReader(path)
    np.testing.assert_allclose(first.astype(int), placed(stored, *matrix), atol=12)
    assert second.shape == first.shape
    height, width = next(iter(VideoReader(path, short_side=24))).shape[:2]
    assert (height, width) == ((24, 32) if matrix[0] else (32, 24))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(0.4, 0), (1.4, 0), (1.6, 2), (-2, 358), (-1, 359), (45, 45), (88.6, 89), (181, 181)],
)
def test_other_angles_are_rounded_to_whole_degrees(degrees, expected):
    """One degree clockwise is left alone, as FFmpeg's command does; one the other way is not."""
    assert Orientation.from_matrix(nine(*turned_by(degrees))) == Orientation(degrees=expected)


def test_a_quarter_turn_but_for_half_a_degree_is_one():
    found = [Orientation.from_matrix(nine(*turned_by(angle))) for angle in (89.6, 90, 90.4)]
    assert len(set(found)) == 1
    assert found[0].transposed


def test_a_matrix_without_an_angle_is_ignored():
    assert Orientation.from_matrix(np.zeros(9, np.int32)) == Orientation()


@pytest.mark.parametrize("degrees", [2, 30, -50])
def test_a_spot_moves_clockwise_about_the_middle(tmp_path, degrees):
    stored = np.zeros((96, 128, 3), np.uint8)
    stored[42:54, 92:104] = 255
    path = write_video(tmp_path / "v.mp4", np.stack([stored] * 2), codec="libx264")
    set_display_matrix(path, turned_by(degrees))
    frame = next(iter(VideoReader(path))).mean(axis=2)
    assert len(list(VideoReader(path))) == 2
    assert frame.shape == (96, 128)
    weights = np.where(frame > 100, frame, 0)
    y, x = (float((grid * weights).sum() / weights.sum()) for grid in np.indices(frame.shape))
    angle = math.radians(degrees)
    assert x == pytest.approx(63.5 + 34 * math.cos(angle), abs=1.5)
    assert y == pytest.approx(47.5 + 34 * math.sin(angle), abs=1.5)


@pytest.mark.parametrize(
    ("aspect", "width"),
    [
        *(("4/3", 85), ("1/2", 32), ("2/1", 128), ("8/1", 512), ("1/8", 8)),
        *(("200/201", 64), ("9/1", 64), ("1/9", 64)),
    ],
)
@pytest.mark.parametrize("quarter_turn", [False, True])
def test_frames_have_square_pixels(tmp_path, aspect, width, quarter_turn):
    """Width to height of the file's pixels; nearly square ones and absurd ones are left alone."""
    path = tmp_path / "v.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        image = np.zeros((48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    if quarter_turn:
        set_display_matrix(path, (0, 1, -1, 0))
    shape = (width, 48, 3) if quarter_turn else (48, width, 3)
    assert [frame.shape for frame in VideoReader(path)] == [shape]
    assert min(next(iter(VideoReader(path, short_side=24))).shape[:2]) == 24
