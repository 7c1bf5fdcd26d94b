"""Image folders: which images are usable, what is decoded of them, frames written as images."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fstcn_keras.config import PRESETS
from tests.videos import grey_ramp, write_video
from training import cli, prepare
from training.data.collections import Video, read_folder
from training.data.groups import held_out_paths, source_group
from training.data.images import (
    ImageError,
    ImageFolder,
    image_source,
    index_images,
    read_image,
    source_video,
    write_frames,
)
from training.data.preparation import prepare_store
from training.data.samplers import CenterSampler, Frames, TrainingSampler
from training.data.store import StoreError, record_file
from training.errors import UserError

RED = (200, 30, 20)


def write(path: Path, image: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of no pixels whose header names a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", "png", RED),
        ("RGB", "jpg", RED),
        ("RGBA", "png", RED),
        ("CMYK", "jpg", RED),
        ("L", "jpg", (80, 80, 80)),  # 0.299 R + 0.587 G + 0.114 B
        ("LA", "png", (80, 80, 80)),
        ("1", "png", (255, 255, 255)),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, mode, suffix, expected):
    image = Image.new("RGB", (40, 30), RED if mode != "1" else (255, 255, 255)).convert(mode)
    found = read_image(write(tmp_path / f"i.{suffix}", image), short_side=120)
    assert (found.shape, found.dtype) == ((30, 40, 3), np.uint8)
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_transparency_of_a_palette(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    file = write(tmp_path / "i.png", image, transparency=bytes([0, 100]))
    np.testing.assert_array_equal(read_image(file, short_side=4)[0, 0], RED)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((500, 375), (250, 188)),  # 1/2: the short side stays above 120
        ((4000, 1000), (500, 125)),  # 1/8
        ((239, 300), (239, 300)),
        ((1, 1), (1, 1)),
    ],
)
def test_large_jpegs_are_decoded_smaller(tmp_path, size, expected):
    file = write(tmp_path / "i.jpg", Image.new("RGB", size, RED))
    found = read_image(file, short_side=120)
    assert found.shape[:2] == expected[::-1]
    assert np.abs(found.astype(int) - RED).max() <= 3


def test_files_that_are_no_images(tmp_path):
    def reason(content: bytes) -> str:
        (tmp_path / "i.jpg").write_bytes(content)
        with pytest.raises(ImageError) as error:
            read_image(tmp_path / "i.jpg", short_side=120)
        return str(error.value)

    whole = write(tmp_path / "whole.jpg", Image.effect_noise((64, 64), 90)).read_bytes()
    deep = write(tmp_path / "deep.png", Image.new("I;16", (9, 9))).read_bytes()
    gif = write(tmp_path / "i.gif", Image.new("L", (9, 9))).read_bytes()
    assert reason(b"") == reason(b"text") == reason(gif) == "no JPEG or PNG"
    assert "truncated" in reason(whole[: len(whole) // 2])
    assert "mode I;16" in reason(deep)
    assert "10000 x 9000 pixels, more than 50,000,000" in reason(png_that_claims(10000, 9000))
    assert "exceeds limit" in reason(png_that_claims(100000, 90000))
    assert reason(png_that_claims(20, 20))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "i.jpg")
    with pytest.raises(ImageError, match=r"^not a regular file$"):
        read_image(tmp_path / "i.jpg", short_side=120)


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    write(root / "b" / "wide.JPEG", Image.new("RGB", (300, 50), RED))
    write(root / "a" / "dot.png", Image.new("L", (1, 1)))
    (root / "a" / "text.jpg").write_text("no image")
    (root / "a" / "notes.txt").touch()
    (root / ".hidden").mkdir()
    write(root / ".hidden" / "i.png", Image.new("L", (1, 1)))
    return root


def test_the_index_holds_every_image_and_stays_as_it_is(images, tmp_path):
    found = index_images(images, tmp_path / "index.csv", short_side=120)
    assert list(found) == ["a/dot.png", "a/text.jpg", "b/wide.JPEG"]
    assert [image.num_frames for image in found.values()] == [1, 0, 1]
    assert (found["b/wide.JPEG"].height, found["b/wide.JPEG"].width) == (50, 300)
    assert found["a/text.jpg"].reason == "no JPEG or PNG"
    write(images / "c" / "new.png", Image.new("L", (1, 1)))
    assert index_images(images, tmp_path / "index.csv", short_side=120) == found
    with pytest.raises(UserError, match=r"no images found in .* expected folders named after"):
        index_images(tmp_path / "images" / "c", tmp_path / "other.csv", short_side=120)


def test_crops_of_images_of_any_size(images, tmp_path):
    found = index_images(images, tmp_path / "index.csv", short_side=120)
    store = ImageFolder(images, found, short_side=120)
    sample = Frames(PRESETS["small"])  # 108 of 120 pixels
    wide, dot = Video("b/wide.JPEG", 1, "train", "b"), Video("a/dot.png", 0, "train", "a")
    centre = CenterSampler(store, [wide, dot], sample)
    assert [(d.top, d.left, d.size) for d in (centre[0], centre[1])] == [(2, 127, 45), (0, 0, 1)]
    sampler = TrainingSampler(store, [wide], sample, seed=[0])
    sizes = {sampler[position].size for position in range(50)}
    lefts = {sampler[position].left for position in range(50)}
    assert sizes == {45}
    assert min(lefts) < 64
    assert max(lefts) > 191
    sampler = TrainingSampler(store, [wide], sample, seed=[0], scales=(1.0, 0.5))
    assert {sampler[position].size for position in range(50)} == {50, 25}


def test_an_image_that_changes_during_training(images, tmp_path):
    found = index_images(images, tmp_path / "index.csv", short_side=120)
    store = ImageFolder(images, found, short_side=120)
    write(images / "b" / "wide.JPEG", Image.new("RGB", (9, 9)))
    with pytest.raises(StoreError, match=r"wide.JPEG is not the image that it was"):
        list(store.raw_frames("b/wide.JPEG", [0]))
    (images / "b" / "wide.JPEG").unlink()
    with pytest.raises(StoreError, match=r"wide.JPEG can no longer be read \(.*No such file"):
        list(store.raw_frames("b/wide.JPEG", [0]))


@pytest.mark.parametrize("frames", ["jpeg", "raw"])
def test_frames_of_the_training_videos_as_an_image_folder(tmp_path, capsys, frames):
    data, lists, out = tmp_path / "data", tmp_path / "lists", tmp_path / "out"
    lists.mkdir()
    for name in ("a", "b"):
        write_video(data / name / "1.avi", grey_ramp(40))
        write_video(data / name / "2.avi", grey_ramp(5))
        write_video(data / name / "3.avi", grey_ramp(5))
        (lists / f"{name}_test_split1.txt").write_text("1.avi 1\n2.avi 1\n3.avi 2\n")
    (data / "b" / "2.avi").write_text("no video")
    options = ["--dataset", "folder", "--data-dir", data, "--splits-dir", lists, "--frames", frames]
    options += ["--store", tmp_path / "store", "--images", out]
    cli.run(prepare.main, prepare.PrepareOptions, list(map(str, options)))
    assert f"{out}: 7 frames of 4 training videos" in capsys.readouterr().out
    written = {path.relative_to(out).as_posix(): path for path in out.rglob("*.jpg")}
    numbers = {"1.avi": (7, 22, 37), "2.avi": (2,)}
    names = [f"a/a%2F{name}-frame{n:06d}.jpg" for name, all_ in numbers.items() for n in all_]
    assert sorted(written) == names + [f"b/b%2F1.avi-frame{n:06d}.jpg" for n in numbers["1.avi"]]
    for name, path in written.items():
        level = 10 + 4 * int(name[-10:-4])
        assert np.abs(read_image(path, short_side=120).astype(int) - level).max() <= 3
    with pytest.raises(SystemExit):
        cli.run(prepare.main, prepare.PrepareOptions, list(map(str, options)))
    assert f"{out} is not empty" in capsys.readouterr().err


def test_frames_are_written_all_or_none(tmp_path):
    paths = ["a/1.avi", "a/2.avi"]
    for path in paths:
        write_video(tmp_path / "data" / path, grey_ramp(5))
    store = prepare_store(tmp_path / "store", tmp_path / "data", paths, short_side=24)
    record_file(store.folder, paths[1]).unlink()
    out = tmp_path / "out"
    videos = [Video(path, 0, "train", path) for path in paths]
    with pytest.raises(StoreError):
        write_frames(store, videos, out, classes=["a"], step=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "store"]


def test_frames_lie_in_the_folders_of_their_classes_wherever_their_videos_lie(tmp_path):
    labels = {
        "anna/wave.avi": "wave",
        "bob/wave.avi": "wave",
        "train/clap/50%2F.avi": "clap",
        ".old/\udc80.avi": "clap",
        "loose.avi": "on/off",
        ".loose.avi": "on/off",
    }
    for path in labels:
        write_video(tmp_path / "data" / path, grey_ramp(2))
    (tmp_path / "labels.csv").write_bytes(
        os.fsencode("path,label\n" + "".join(f"{path},{name}\n" for path, name in labels.items()))
    )
    dataset = read_folder(tmp_path / "data", labels=tmp_path / "labels.csv")
    store = prepare_store(tmp_path / "store", tmp_path / "data", labels, short_side=24)
    out = tmp_path / "out"
    assert write_frames(store, dataset.videos, out, classes=dataset.classes, step=2) == 6
    found = index_images(out, tmp_path / "index.csv", short_side=24)
    assert {(source_video(path), path.split("/")[0]) for path in found} == {
        (path, name.replace("/", "%2F")) for path, name in labels.items()
    }
    assert image_source("wave/anna%2Fwave.avi-frame000001.jpg") == source_group("anna/wave.avi")


def test_the_video_that_an_image_was_taken_from():
    assert source_video("run/x%2Fy%252F.avi-frame000007.jpg") == "x/y%2F.avi"
    assert source_video("run/%2E%2Fx.avi-frame000007.jpg") == "x.avi"
    assert source_video("run/x.avi-frame000007.jpg") == "run/x.avi"  # as older versions wrote it
    assert source_video("run/x.jpg") is None


def test_frames_of_one_video_are_held_out_together():
    paths = [f"run/v_Run_g01_c0{c}.avi-frame{n:06d}.jpg" for c in (1, 2) for n in (7, 22)]
    assert {image_source(path) for path in paths} == {"run/v_Run_g01"}
    paths += [f"run/{name}.mp4-frame{n:06d}.jpg" for name in "xyz" for n in (7, 22)]
    paths += ["run/img-000001.jpg", "run/img-000002.jpg"]
    sources = {path: image_source(path) for path in paths}
    assert len(set(sources.values())) == 6
    items = [(path, "run", source) for path, source in sources.items()]
    held = held_out_paths(items, fraction=0.4, salt="")
    assert held
    assert {sources[path] for path in held}.isdisjoint({sources[p] for p in set(paths) - held})
