"""Frame and crop arithmetic against hand-worked cases and loops."""

from fractions import Fraction

import numpy as np
import pytest

from fstcn_keras import clips

TIMINGS = [
    dict(zip(("clip_length", "stride", "distance"), timing, strict=True))
    for timing in [(5, 5, 9), (3, 2, 4), (1, 1, 1)]
]


def walk_to_and_fro(num_frames: int, steps: int) -> list[int]:
    """The frames met by one who turns round at the first and at the last."""
    frame, direction, met = 0, 1, []
    for _ in range(steps):
        met.append(frame)
        if not 0 <= frame + direction < num_frames:
            direction = -direction
        if num_frames > 1:
            frame += direction
    return met


@pytest.mark.parametrize(
    ("start", "num_frames", "clip", "subtracted"),
    [
        (0, 30, [0, 5, 10, 15, 20], [9, 14, 19, 24, 29]),
        (7, 300, [7, 12, 17, 22, 27], [16, 21, 26, 31, 36]),
        (0, 29, [0, 5, 10, 15, 20], [9, 14, 19, 24, 27]),
        (0, 15, [0, 5, 10, 13, 8], [9, 14, 9, 4, 1]),
        (0, 2, [0, 1, 0, 1, 0], [1, 0, 1, 0, 1]),
        (0, 1, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_pair_indices_hand_worked(start, num_frames, clip, subtracted):
    indices = clips.pair_indices(start, num_frames)
    assert indices.dtype == np.int64
    assert indices.tolist() == [clip, subtracted]


@pytest.mark.parametrize("timing", TIMINGS)
def test_pair_indices_walk_to_and_fro(timing):
    clip_length, stride, distance = timing.values()
    for num_frames in range(1, 40):
        met = walk_to_and_fro(num_frames, 100)
        found = clips.pair_indices(np.arange(60).reshape(6, 10), num_frames, **timing)
        for (row, column), pair in zip(np.ndindex(6, 10), found.reshape(60, 2, -1), strict=True):
            times = [10 * row + column + stride * k for k in range(clip_length)]
            assert pair.tolist() == [[met[t] for t in times], [met[t + distance] for t in times]]


@pytest.mark.parametrize("timing", TIMINGS)
def test_a_sparse_clip_has_a_frame_of_every_segment(timing):
    """Segments of equal length, as many as frames; each clip takes the same frame of all."""
    length, least, distance = timing.values()
    for num_frames in range(1, 200):
        segments = list(range(0, num_frames - distance + 1, (num_frames - distance) // length or 1))
        long_enough = (num_frames - distance) // length >= least
        last = clips.last_start(num_frames, **timing, sampling="sparse")
        for start in range(last + 1):
            clip, later = clips.pair_indices(start, num_frames, **timing, sampling="sparse")
            if not long_enough:  # as dense ones
                assert last == clips.last_start(num_frames, **timing)
                assert np.array_equal(
                    [clip, later], clips.pair_indices(start, num_frames, **timing)
                )
                continue
            assert clip.tolist() == [segment + start for segment in segments[:length]]
            assert later.tolist() == [frame + distance for frame in clip]
            assert later[-1] < num_frames
        if long_enough:  # the next start would leave the video
            assert segments[length - 1] + last + distance == num_frames - 1


def test_sparse_clips_hand_worked():
    """116 frames less 4 make five segments of 22, and 2 frames more."""
    timing = {"distance": 4, "sampling": "sparse"}
    assert clips.clip_stride(116, **timing) == 22
    assert clips.start_frames(116, 2, **timing).tolist() == [0, 23]
    assert clips.pair_indices(23, 116, **timing).tolist() == [
        [23, 45, 67, 89, 111],
        [27, 49, 71, 93, 115],
    ]


@pytest.mark.parametrize(
    ("start", "num_frames"), [(-1, 30), (0, 0), (0, -3), ([0, -2], 30), (np.array([4, -1]), 30)]
)
def test_pair_indices_rejects(start, num_frames):
    with pytest.raises(ValueError, match="Received"):
        clips.pair_indices(start, num_frames)


def test_a_clip_pair_of_the_paper_spans_30_frames():
    assert clips.span() == 30
    assert clips.span(clip_length=1, stride=8, distance=1) == 2
    assert clips.span(clip_length=3, stride=4, distance=2) == 11


@pytest.mark.parametrize(
    ("num_frames", "last"), [(1, 0), (29, 0), (30, 0), (31, 1), (40, 10), (1000, 970)]
)
def test_last_start_is_the_last_that_ends_inside(num_frames, last):
    assert clips.last_start(num_frames) == last


@pytest.mark.parametrize(
    ("num_frames", "num_clips", "starts"),
    [
        (130, 5, [0, 25, 50, 75, 100]),
        (37, 5, [0, 2, 4, 5, 7]),  # 0, 1.75, 3.5, 5.25, 7
        (130, 2, [0, 100]),
        (130, 1, [50]),
        (31, 3, [0, 1, 1]),
        (30, 5, [0, 0, 0, 0, 0]),
        (2, 3, [0, 0, 0]),
        (1, 1, [0]),
    ],
)
def test_start_frames_hand_worked(num_frames, num_clips, starts):
    found = clips.start_frames(num_frames, num_clips)
    assert found.dtype == np.int64
    assert found.tolist() == starts


def test_start_frames_follow_the_length_of_a_clip():
    found = clips.start_frames(20, 3, clip_length=2, stride=3, distance=6)  # spans 10 frames
    assert found.tolist() == [0, 5, 10]


@pytest.mark.parametrize(("num_frames", "num_clips"), [(30, 0), (0, 5)])
def test_start_frames_rejects(num_frames, num_clips):
    with pytest.raises(ValueError, match="Received"):
        clips.start_frames(num_frames, num_clips)


@pytest.mark.parametrize(
    ("height", "width", "size", "tops", "lefts"),
    [
        (240, 320, 204, (0, 18, 36), (0, 58, 116)),
        (320, 240, 204, (0, 58, 116), (0, 18, 36)),
        (7, 8, 4, (0, 1, 3), (0, 2, 4)),
        (5, 5, 5, (0, 0, 0), (0, 0, 0)),
    ],
)
def test_crop_grid_hand_worked(height, width, size, tops, lefts):
    grid = clips.crop_grid(height, width, size)
    (a, b, c), (d, e, f) = tops, lefts
    expected = [[a, d], [a, e], [a, f], [b, d], [b, e], [b, f], [c, d], [c, e], [c, f]]
    assert grid.dtype == np.int64
    assert grid.tolist() == expected


@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
def test_crops_are_the_nine_of_the_grid_then_their_mirror_images(leading):
    height, width, size = 7, 8, 4
    images = np.random.default_rng(0).integers(0, 256, (*leading, height, width, 3), dtype=np.uint8)
    found = clips.crops(images, size)
    assert found.shape == (18, *leading, size, size, 3)
    assert found.dtype == np.uint8
    corners = [(top, left) for top in (0, 1, 3) for left in (0, 2, 4)]
    for number, (top, left) in enumerate(corners):
        for row, column in np.ndindex(size, size):
            pixel = images[..., top + row, left + column, :]
            np.testing.assert_array_equal(found[number][..., row, column, :], pixel)
            mirrored = found[9 + number][..., row, size - 1 - column, :]
            np.testing.assert_array_equal(mirrored, pixel)


@pytest.mark.parametrize("map_shape", [(4, 7), (3, 3), (5, 12), (8, 4)])
@pytest.mark.parametrize(("height", "width"), [(84, 132), (68, 101), (90, 68)])
def test_map_corners_are_the_nearest_to_the_places_of_the_crops(map_shape, height, width):
    found = clips.map_corners(clips.crop_grid(height, width, 68), map_shape, (3, 3))
    assert found.dtype == np.int64
    for corner, place in zip(clips.crop_grid(height, width, 68).tolist(), found, strict=True):
        for axis, side in enumerate((height, width)):
            share = Fraction(corner[axis], max(1, side - 68))
            assert place[axis] == round(share * (map_shape[axis] - 3))  # halves to even numbers


def test_map_crops_are_the_nine_of_the_grid_then_those_of_the_mirror_image():
    maps = np.random.default_rng(0).standard_normal((2, 4, 7, 5))
    found = clips.map_crops(maps, clips.crop_grid(84, 132, 68), (3, 3))
    corners = [(top, left) for top in (0, 0, 1) for left in (0, 2, 4)]
    assert len(found) == 18
    for number, (top, left) in enumerate(corners):
        np.testing.assert_array_equal(found[number], maps[0, top : top + 3, left : left + 3])
        mirrored = 4 - left
        expected = maps[1, top : top + 3, mirrored : mirrored + 3]
        np.testing.assert_array_equal(found[9 + number], expected)


@pytest.mark.parametrize(("height", "width", "size"), [(4, 9, 5), (9, 4, 5), (9, 9, 0)])
def test_crops_that_do_not_fit_are_rejected(height, width, size):
    with pytest.raises(ValueError, match=f"Received: size={size}, height={height}"):
        clips.crop_grid(height, width, size)
    with pytest.raises(ValueError, match="Received"):
        clips.crops(np.zeros((height, width, 3), np.uint8), size)


def test_absolute_difference_of_all_pairs_of_pixels():
    one, other = np.meshgrid(np.arange(256), np.arange(256))
    found = clips.absolute_difference(one.astype(np.uint8), other.astype(np.uint8))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.abs(one - other))
