"""Requests to resized frames, as the decoding processes make them; no server runs."""

import base64
import io

import pytest

pytest.importorskip("kserve")

import numpy as np
from PIL import Image

from fstcn_keras import clips
from fstcn_keras.serving.decoding import ImageFrames, decode_request
from fstcn_keras.serving.limits import BadRequest, Limits, TooLarge
from fstcn_keras.serving.requests import EncodedFrames, Tensor, V1Request
from fstcn_keras.video.frames import open_frames, read_resized
from tests.fstcn_keras.serving.conftest import PLAN
from tests.videos import noise, write_video

LIMITS = Limits()
ROTATIONS = {  # EXIF's orientation of a stored picture: what makes it upright
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


def file_of(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(*files: bytes) -> np.ndarray:
    frames = ImageFrames(EncodedFrames(files), LIMITS)
    return np.stack(list(frames.select(range(frames.count()))))


def test_the_frames_of_a_video_are_those_of_its_file(tmp_path):
    path = write_video(tmp_path / "noise.avi", noise(50))
    request = V1Request(path.read_bytes(), "video/x-msvideo")
    (video,) = decode_request(request, PLAN, LIMITS).videos
    wanted = sorted(
        {
            index
            for start in (0, 30)  # the first clip and the last: a clip spans 20 of the 50 frames
            for index in clips.pair_indices(start, 50, **PLAN.timing()).ravel().tolist()
        }
    )
    assert (video.count(), video.numbers) == (50, tuple(wanted))
    expected = list(read_resized(open_frames(path), wanted, PLAN.short_side))
    np.testing.assert_array_equal(list(video.select(wanted)), expected)
    assert {image.shape for image in video.images} == {(68, 91, 3)}


def test_a_tensor_is_taken_as_it_is():
    frames = noise(2, height=68, width=70)
    tensor = Tensor("frames", "UINT8", list(frames.shape), frames.tobytes())
    (video,) = decode_request(tensor, PLAN, LIMITS).videos
    np.testing.assert_array_equal(video.images, frames)


@pytest.mark.parametrize("orientation", ROTATIONS)
def test_jpegs_are_turned_upright(orientation):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (found,) = read(file_of(Image.fromarray(stored), "jpeg", exif=exif, quality=100))
    upright = ROTATIONS[orientation](stored)
    assert found.shape == upright.shape
    np.testing.assert_allclose(found.astype(int), upright, atol=3)


def test_grey_alpha_palette_and_sixteen_bits():
    grey = noise(1, height=20, width=30)[0, ..., 0]
    colour = noise(1, height=20, width=30)[0]
    alpha = np.concatenate([colour, grey[..., None]], axis=-1)
    three = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(read(file_of(Image.fromarray(grey)))[0], three)
    np.testing.assert_array_equal(read(file_of(Image.fromarray(alpha)))[0], colour)
    np.testing.assert_array_equal(read(file_of(Image.fromarray(grey).convert("P")))[0], three)
    sixteen = Image.fromarray(grey.astype(np.uint16) * 256 + 99)
    np.testing.assert_array_equal(read(file_of(sixteen))[0], three)


def test_a_form_holds_files_among_other_fields():
    part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = part.format("note", "", "1") + part.format("other", '; filename="b"', "B")
    body += part.format("video", '; filename="/etc/passwd"', "A") + "--x--\r\n"
    with pytest.raises(BadRequest, match="cannot be opened as a video"):
        decode_request(V1Request(body.encode(), "multipart/form-data; boundary=x"), PLAN, LIMITS)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"frames": 4}, "5 frames; at most 4"), ({"pixels": 99}, "frame 0: 10x10 pixels; at most 99")],
)
def test_limits_of_images(limits, reason):
    files = (file_of(Image.new("RGB", (10, 10))),) * 5
    with pytest.raises(TooLarge, match=reason):
        ImageFrames(EncodedFrames(files), Limits(**limits))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"frames": 4}, "more than 4 frames"), ({"pixels": 99}, "at most 99 are read")],
)
def test_limits_of_videos(tmp_path, limits, reason):
    video = write_video(tmp_path / "a.avi", noise(5)).read_bytes()
    with pytest.raises(TooLarge, match=reason):
        decode_request(V1Request(video, "video/x"), PLAN, Limits(**limits))


def test_lists_of_other_files_are_not_followed(tmp_path):
    """FFmpeg would open the file that they name."""
    video = write_video(tmp_path / "secret.mp4", noise(5), codec="mpeg4")
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n"
    for text in (hls, f"ffconcat version 1.0\nfile '{video}'\n"):
        with pytest.raises(BadRequest, match="cannot be opened as a video"):
            decode_request(V1Request(text.encode(), "video/x"), PLAN, LIMITS)


def test_base64_must_be_exact():
    data = base64.b64encode(file_of(Image.new("RGB", (4, 4)))).decode()
    for text in (data[:-1], data + " ", "é" + data):
        with pytest.raises(BadRequest, match="element 0: is not base64"):
            decode_request(Tensor("frames", "BYTES", [1], [text]), PLAN, LIMITS)
