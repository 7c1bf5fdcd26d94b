"""Pictures of maps: their colours, their sizes, and what an animation shows when."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from analysis.attribution import Attribution
from analysis.explanation import ClipPixels
from analysis.overlays import draw_classes, draw_times, overlaid, overlay, write_animation
from fstcn_keras.video import VideoReader

HEIGHT, WIDTH = 40, 51  # an odd width, which H.264 cannot store


def clips_and_maps(number: int):
    """Black clips, and maps of nothing but a spot in the last difference of the last clip."""
    counts = {"frame": 1, "differences": 3}
    parts = {part: np.zeros((n, HEIGHT, WIDTH, 3), np.float32) for part, n in counts.items()}
    numbers = np.arange(6).reshape(2, 3)
    clips = [ClipPixels(numbers=numbers, parts=parts)] * number
    maps = [{part: np.zeros(x.shape[:3]) for part, x in parts.items()} for _ in range(number)]
    maps[-1]["differences"][-1, 10:30, 20:40] = 1
    return clips, [Attribution(maps=one) for one in maps]


def test_a_map_of_nothing_leaves_the_image_grey():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3))
    shown = overlay(image, np.zeros((4, 5)))
    assert shown.dtype == np.uint8
    expected = np.repeat(0.7 * image.mean(axis=-1)[..., None], 3, axis=-1)
    np.testing.assert_allclose(shown, expected, atol=1)


def test_a_full_map_hides_the_image():
    dark, bright = np.zeros((4, 5, 3)), np.full((4, 5, 3), 255)
    full = np.ones((4, 5))
    np.testing.assert_array_equal(overlay(dark, full), overlay(bright, full))
    np.testing.assert_array_equal(overlay(dark, full), overlay(dark, 3 * full))


def test_brightness_compares_clips_and_times():
    shown = overlaid(*clips_and_maps(2))
    assert [len(shown[0][part]) for part in ("frame", "differences")] == [1, 3]
    brightest = [[picture.max() for picture in one["differences"]] for one in shown]
    assert brightest[1][2] > 200
    assert max(brightest[0] + brightest[1][:2]) < 20


def test_a_frame_that_a_short_video_shows_again_has_a_bar_of_its_own():
    clip = SimpleNamespace(numbers=np.array([[0, 5, 0, 5, 0], [1, 4, 1, 4, 1]]))
    shares = np.array([0.1, 0.2, 0.3, 0.15, 0.25])
    checks = {"differences": SimpleNamespace(share_by_time=shares)}
    axes = Figure().subplots()
    draw_times(SimpleNamespace(clip=clip, checks=checks), axes)
    assert len({bar.get_x() for bar in axes.patches}) == 5
    assert [bar.get_height() for bar in axes.patches] == shares.tolist()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "5", "0", "5", "0"]


def test_the_caption_of_one_class_leaves_room_for_its_pictures():
    """Of the spatial path alone: two pictures beside a class with a long name."""
    [clip], [attribution] = clips_and_maps(1)
    maps = Attribution(maps={"frame": attribution.maps["frame"]})
    one = SimpleNamespace(clip=clip, attribution=maps, checks={"frame": None}, label=0, score=0.5)
    figure = draw_classes([one], ["a long name of a class " * 9], "words of a caption " * 18)
    figure.draw_without_rendering()
    lowest = min(axes.get_window_extent().y0 for axes in figure.axes)
    assert lowest > figure.texts[-1].get_window_extent().y1
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0
        assert box.y1 <= figure.bbox.height


def gif_frames(file) -> list[np.ndarray]:
    """One for each fifth of a second: equal frames that follow each other are stored as one."""
    frames = []
    with Image.open(file) as image:
        for one in ImageSequence.Iterator(image):
            frames += [np.asarray(one.convert("RGB"))] * (one.info["duration"] // 200)
    return frames


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_animation_has_a_tick_for_each_difference(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    write_animation(file, *clips_and_maps(2))
    frames = gif_frames(file) if suffix == ".gif" else list(VideoReader(file))
    assert len(frames) == 6
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0
    assert height == 6 * HEIGHT
    left, right = np.split(frames[-1].astype(int), [width // 2], axis=1)
    assert right.max() > 150
    assert left.max() < 40
    assert frames[0].max() < 40
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
