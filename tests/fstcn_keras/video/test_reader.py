"""Reading frames by number, from paths, file objects and arrays."""

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from keras import ops
from PIL import Image

from fstcn_keras.video.frames import read_resized
from fstcn_keras.video.reader import VideoError, VideoReader, VideoTooLarge
from fstcn_keras.video.sources import open_frames
from fstcn_keras.views.resizing import resize, short_side_weights
from tests.videos import noise, write_video

FRAMES = noise(9, height=30, width=40)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "noise.avi", FRAMES, fps=10)


@pytest.fixture(params=["path", "name", "file", "memory", "array"])
def source(request, path):
    if request.param == "array":
        return FRAMES
    if request.param == "memory":
        return io.BytesIO(path.read_bytes())
    return {"path": path, "name": str(path), "file": path.open("rb")}[request.param]


def test_every_source_gives_the_same_frames_again_and_again(source):
    reader = open_frames(source)
    for _ in range(2):
        assert reader.count() == 9
        np.testing.assert_array_equal(list(reader.select([0, 3, 8])), FRAMES[[0, 3, 8]])
    assert list(reader.select([])) == []


def test_a_reader_can_be_iterated_again(path):
    reader = VideoReader(path)
    for _ in range(2):
        np.testing.assert_array_equal(list(reader), FRAMES)
        assert (reader.decoded_frames, reader.damaged_packets, reader.fps) == (9, 0, 10)


def test_frames_are_resized_as_arrays_are(source):
    weights = short_side_weights(30, 40, 24)
    expected = [ops.convert_to_numpy(resize(FRAMES[n], *weights)) for n in (2, 5)]
    found = list(read_resized(open_frames(source), [2, 5], 24))
    np.testing.assert_array_equal(found, expected)
    assert found[0].shape == (24, 32, 3)


def test_a_file_that_lost_frames_between_two_passes(path):
    with pytest.raises(VideoError, match="no frame 9 any more"):
        list(VideoReader(path).select([8, 9, 10]))


def test_too_long_and_narrow():
    with pytest.raises(VideoError, match="2x400 pixels would become 24000 on the long side"):
        list(read_resized(open_frames(np.zeros((1, 400, 2, 3), np.uint8)), [0], 120))


def test_frames_that_would_be_too_long_once_they_are_resized(tmp_path):
    path = write_video(tmp_path / "narrow.avi", noise(1, height=2, width=400))
    assert next(iter(VideoReader(path, short_side=80))).shape == (80, 16_000, 3)
    message = "400x2 pixels would become 24000x120; at most 16384 a side"
    with pytest.raises(VideoTooLarge, match=message):
        VideoReader(path, short_side=120).count()
    with pytest.raises(VideoTooLarge, match="400x2 pixels would become 16000x80"):
        VideoReader(path, short_side=80, max_pixels=80 * 16_000 - 1).count()


def grey_jpeg(side: int) -> bytes:
    """A square JPEG."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = side
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((side, side, 3), 128, np.uint8))
    packets = [*encoder.encode(frame.reformat(format="yuvj420p")), *encoder.encode(None)]
    return b"".join(map(bytes, packets))


def write_growing(path: Path, sides: list[int]) -> Path:
    """JPEGs of these sides, square, in a container that claims the first."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height = stream.width = sides[0]
        stream.pix_fmt = "yuvj420p"
        for number, side in enumerate(sides):
            packet = av.Packet(grey_jpeg(side))
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    return path


def test_no_frame_may_be_larger_than_allowed(tmp_path):
    """A container may claim the size of its first frame alone."""
    growing = write_growing(tmp_path / "growing.avi", [16, 16, 64])
    assert VideoReader(growing, max_pixels=64 * 64).count() == 3
    reader = VideoReader(growing, max_pixels=64 * 64 - 1)
    with pytest.raises(VideoTooLarge, match="frame 2 has 64x64 pixels; at most 4095"):
        reader.count()
    assert reader.decoded_frames == 2


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_pixels": 1199}, "claims 40x30 pixels; at most 1199"),
        ({"max_frames": 8}, "more than 8 frames"),
    ],
)
def test_beyond_the_limits_of_size(path, limits, reason):
    with pytest.raises(VideoTooLarge, match=reason):
        VideoReader(path, **limits).count()


WRONG_SHAPES = [(4, 5, 3), (2, 4, 5, 4), (0, 4, 5, 3), (2, 4, 0, 3)]
WRONG = [np.zeros((2, 4, 5, 3), np.float32), *(np.zeros(s, np.uint8) for s in WRONG_SHAPES)]


@pytest.mark.parametrize("array", WRONG)
def test_arrays_of_another_kind(array):
    with pytest.raises(ValueError, match="Received: ") as error:
        open_frames(array)
    assert str(error.value).endswith(f"Received: {array.shape} {array.dtype}")


@pytest.mark.parametrize(
    ("source", "received"),
    [(b"RIFF", "bytes"), (3, "int"), ([FRAMES], "list"), (io.StringIO("text"), "StringIO")],
)
def test_what_is_no_video_in_any_sense(source, received):
    with pytest.raises(TypeError, match=f"Received: {received}$"):
        open_frames(source)


def test_a_file_object_that_cannot_seek():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    with pytest.raises(ValueError, match="able to seek"):
        open_frames(Pipe(b"RIFF"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.avi")
    with pytest.raises(VideoError, match=r"^is not a regular file$"):
        list(VideoReader(tmp_path / "pipe.avi"))


def test_a_name_is_never_an_address(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.with_name("file:x|y.avi").write_bytes(path.read_bytes())
    assert VideoReader("file:x|y.avi").count() == 9
    with pytest.raises(VideoError, match="No such file"):
        VideoReader("concat:noise.avi|noise.avi").count()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_file_cannot_make_the_reader_listen_to_the_network(kind, tmp_path):
    text = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 40000 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    (tmp_path / "session.sdp").write_text(text)
    source = io.BytesIO(text.encode()) if kind == "memory" else tmp_path / "session.sdp"
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        VideoReader(source).count()


@pytest.mark.parametrize("name", ["https://example.org/a.mp4", "rtsp:/example.org/live"])
def test_an_address_is_refused_as_one(name):
    address = name if "//" in name else name.replace(":/", "://")
    for source in (name, Path(name)):  # which drops a slash
        with pytest.raises(VideoError, match=f"^is the address {address}, no file: download it"):
            VideoReader(source).count()


@pytest.mark.parametrize("kind", ["path", "memory"])
def test_an_empty_file_is_called_so(tmp_path, kind):
    (tmp_path / "empty.mp4").touch()
    source = tmp_path / "empty.mp4" if kind == "path" else io.BytesIO()
    with pytest.raises(VideoError, match=r"^is empty$"):
        VideoReader(source).count()


def test_an_animated_webp_is_not_called_damaged(tmp_path):
    images = [Image.fromarray(frame) for frame in FRAMES[:3]]
    images[0].save(tmp_path / "still.webp")
    images[0].save(tmp_path / "moving.webp", save_all=True, append_images=images[1:])
    assert VideoReader(tmp_path / "still.webp").count() == 1
    with pytest.raises(VideoError, match=r"^is an animated WebP picture, which FFmpeg cannot"):
        VideoReader(tmp_path / "moving.webp").count()


@pytest.mark.parametrize("name", ["list.m3u8", "list.avi", "list.mp4"])
@pytest.mark.parametrize("kind", ["HLS", "ffconcat", "DASH", "SDP", "AviSynth"])
def test_lists_of_other_files_are_not_followed(tmp_path, name, kind):
    other = write_video(tmp_path / "other.avi", noise(5))
    text = {
        "HLS": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{other}'\n",
        "DASH": f'<?xml version="1.0"?>\n<MPD><BaseURL>{other}</BaseURL></MPD>\n',
        "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "AviSynth": f'AviSource("{other}")\n',
    }[kind]
    path = tmp_path / name
    path.write_text(text)
    reason = "" if kind == "AviSynth" else "it is a list of other files, which are not opened"
    for source in (path, io.BytesIO(text.encode())):
        with pytest.raises(VideoError, match=f"cannot be opened as a video: {reason}"):
            VideoReader(source).count()


def test_a_picture_named_by_a_pattern_opens_no_other_file(tmp_path):
    for number in range(3):
        Image.fromarray(noise(1)[0]).save(tmp_path / f"{number}.png")
    with pytest.raises(VideoError):
        VideoReader(tmp_path / "%d.png").count()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_resized_frames_are_those_of_a_bare_loop(tmp_path, codec):
    path = write_video(tmp_path / "v.avi", noise(4), codec=codec)
    with av.open(path) as container:
        expected = [
            frame.reformat(64, 48, "rgb24", interpolation="AREA").to_ndarray()
            for frame in container.decode(video=0)
        ]
    np.testing.assert_array_equal(list(VideoReader(path, short_side=48)), expected)
