"""Requests to resized frames, as the decoding processes make them; no server runs."""

import base64
import dataclasses
import json

import pytest

pytest.importorskip("kserve")

import numpy as np
from PIL import Image

from fstcn_keras import clips
from fstcn_keras.serving.decoding import ImageFrames, decode_request
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import BadRequest, TooLarge
from fstcn_keras.serving.requests import (
    AnswerForm,
    EncodedFrames,
    GrpcRequest,
    Tensor,
    V1Request,
    V2Request,
)
from fstcn_keras.video.frames import read_resized, view_frames
from fstcn_keras.video.sources import open_frames
from tests.fstcn_keras.serving.conftest import PLAN
from tests.videos import encoded, noise, write_video

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


def read(*files: bytes) -> np.ndarray:
    frames = ImageFrames(EncodedFrames(files), LIMITS)
    return np.stack(list(frames.select(range(frames.count()))))


def test_the_frames_of_a_video_are_those_of_its_file(tmp_path):
    path = write_video(tmp_path / "noise.avi", noise(50))
    request = V1Request(path.read_bytes(), "video/x-msvideo")
    (video,) = decode_request(request, PLAN, LIMITS).videos
    # the first clip and the last: a clip spans 20 of the 50 frames
    wanted = sorted({*clips.pair_indices([0, 30], 50, **PLAN.timing()).ravel().tolist()})
    assert (video.count(), video.numbers) == (50, tuple(wanted))
    expected = list(read_resized(open_frames(path), wanted, PLAN.short_side))
    np.testing.assert_array_equal(list(video.select(wanted)), expected)
    assert {image.shape for image in video.images} == {(68, 91, 3)}


@pytest.mark.parametrize("orientation", ROTATIONS)
def test_jpegs_are_turned_upright(orientation):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (found,) = read(encoded(Image.fromarray(stored), "jpeg", exif=exif, quality=100))
    upright = ROTATIONS[orientation](stored)
    assert found.shape == upright.shape
    np.testing.assert_allclose(found.astype(int), upright, atol=3)


def test_grey_alpha_palette_and_sixteen_bits():
    grey = noise(1, height=20, width=30)[0, ..., 0]
    colour = noise(1, height=20, width=30)[0]
    alpha = np.concatenate([colour, grey[..., None]], axis=-1)
    three = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(grey)))[0], three)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(alpha)))[0], colour)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(grey).convert("P")))[0], three)
    sixteen = Image.fromarray(grey.astype(np.uint16) * 256 + 99)
    np.testing.assert_array_equal(read(encoded(sixteen))[0], three)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"frames": 4}, "more than 4 frames"), ({"pixels": 99}, "at most 99 are read")],
)
def test_limits_of_videos(tmp_path, limits, reason):
    video = write_video(tmp_path / "a.avi", noise(5)).read_bytes()
    with pytest.raises(TooLarge, match=reason):
        decode_request(V1Request(video, "video/x"), PLAN, Limits(**limits))


def test_frames_that_are_wide_once_they_are_resized():
    """A PNG of a few kB makes 3.3 MB in the process that scores, for each frame of a view."""
    wide = encoded(Image.new("RGB", (16384, 68)))
    request = Tensor("frames", "BYTES", [30], [wide] * 30)
    assert len(decode_request(request, PLAN, LIMITS).videos) == 1
    with pytest.raises(TooLarge, match=r"take over 16777216 bytes: .* too wide for their height"):
        decode_request(request, PLAN, Limits(request_bytes=2**20))


def test_the_frames_of_all_videos_of_a_request_are_bounded_together():
    """The two clips of each take ten frames of 856,800 bytes; 16 MiB are for the request."""
    wide = {"b64": base64.b64encode(encoded(Image.new("RGB", (4200, 68)))).decode()}
    limits = Limits(request_bytes=2**20)

    def decoded(number: int) -> int:
        body = json.dumps({"instances": [{"frames": [wide] * 30}] * number}).encode()
        return len(decode_request(V1Request(body, "application/json"), PLAN, limits).videos)

    assert decoded(1) == 1
    with pytest.raises(TooLarge, match="take over 16777216 bytes: the videos are too many"):
        decoded(2)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"video": {"b64": "aGVsbG8="}}, "instance 1: cannot be opened as a video"),
        ({"frames": [{"b64": "aGVsbG8="}]}, "instance 1: frame 0: is no JPEG or PNG"),
    ],
)
def test_which_of_several_videos_is_at_fault(bad, error):
    good = {"frames": [{"b64": base64.b64encode(encoded(Image.new("RGB", (99, 68)))).decode()}]}
    body = json.dumps({"instances": [good, bad]}).encode()
    with pytest.raises(BadRequest, match=error):
        decode_request(V1Request(body, "application/json"), PLAN, LIMITS)


def test_an_id_that_is_no_string():
    tensor = {"name": "video", "datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}
    body = json.dumps({"id": 5, "inputs": [tensor]}).encode()
    with pytest.raises(BadRequest, match=r"`id` must be a string$"):
        decode_request(V2Request(body, None), PLAN, LIMITS)


def test_null_is_absent_and_a_length_that_is_told_must_be_that_of_the_data():
    pixels = noise(1, height=4, width=6)
    tensor = {"name": "frames", "datatype": "UINT8", "shape": [1, 4, 6, 3], "data": None}
    given = {"id": None, "outputs": None, "parameters": None, "inputs": [tensor]}

    def decoded(size):
        tensor["parameters"] = {"binary_data_size": size}
        text = json.dumps(given).encode()
        return decode_request(V2Request(text + pixels.tobytes(), str(len(text))), PLAN, LIMITS)

    found = decoded(pixels.nbytes)
    assert found.form == AnswerForm()
    assert found.videos[0].num_frames == 1
    assert decoded(None).form == AnswerForm()
    with pytest.raises(BadRequest, match="72 bytes follow the JSON: `binary_data_size` is another"):
        decoded(71)


def test_data_over_grpc_in_both_places_is_refused():
    messages = pytest.importorskip("kserve.protocol.grpc.grpc_predict_v2_pb2")
    message = messages.ModelInferRequest(model_name="x", raw_input_contents=[b"video"])
    tensor = message.inputs.add(name="video", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"another video")
    with pytest.raises(BadRequest, match="in `contents` or in `raw_input_contents`, not in both"):
        decode_request(GrpcRequest(message.SerializeToString(), "x", "1"), PLAN, LIMITS)


def test_the_orientation_of_a_png_is_not_heeded():
    """Its EXIF data may follow the pixels, so that the size would not be known before."""
    stored = noise(1, height=20, width=30)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    (found,) = read(encoded(Image.fromarray(stored), exif=exif))
    np.testing.assert_array_equal(found, stored)


@pytest.mark.parametrize("length", ["3", "9", "007", "10", "-1", "1.0", "", "²"])
def test_the_json_of_a_request_ends_within_its_body(length):
    with pytest.raises(BadRequest, match="no length within the body"):
        decode_request(V2Request(b"{}", length), PLAN, LIMITS)


def test_lists_of_other_files_are_not_followed(tmp_path):
    """FFmpeg would open the file that they name."""
    video = write_video(tmp_path / "secret.mp4", noise(5), codec="mpeg4")
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n"
    for text in (hls, f"ffconcat version 1.0\nfile '{video}'\n"):
        with pytest.raises(BadRequest, match="cannot be opened as a video"):
            decode_request(V1Request(text.encode(), "video/x"), PLAN, LIMITS)


def test_base64_must_be_exact():
    data = base64.b64encode(encoded(Image.new("RGB", (4, 4)))).decode()
    for text in (data[:-1], data + " ", "é" + data):
        with pytest.raises(BadRequest, match="element 0: is not base64"):
            decode_request(Tensor("frames", "BYTES", [1], [text]), PLAN, LIMITS)


def test_a_plan_with_a_rate_reads_videos_by_time(tmp_path):
    path = write_video(tmp_path / "noise.avi", noise(50), fps=50)
    request = V1Request(path.read_bytes(), "video/x-msvideo")
    plan = dataclasses.replace(PLAN, fps=25)
    (video,) = decode_request(request, plan, LIMITS).videos
    assert video.count() == 25
    expected = list(read_resized(open_frames(path), [2 * n for n in video.numbers], 68))
    np.testing.assert_array_equal(list(video.select(video.numbers)), expected)
    again = view_frames(video, plan)  # as the classifier does with what was decoded
    assert again.num_frames == 25
    assert tuple(again.numbers) == video.numbers
