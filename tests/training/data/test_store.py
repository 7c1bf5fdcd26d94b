"""The frame store, on videos that the tests make."""

import os
import shutil

import numpy as np
import pytest

from fstcn_keras.video import VideoReader
from fstcn_keras.video.sources import FrameReader
from tests.bad_videos import truncated
from tests.videos import grey_ramp, noise, write_video
from training.data import preparation
from training.data.preparation import prepare_store
from training.data.store import StoreError
from training.errors import UserError


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    root = tmp_path_factory.mktemp("collection")
    write_video(root / "a" / "ramp.avi", grey_ramp(12))
    write_video(root / "a" / "tall.avi", grey_ramp(3, height=64, width=48))
    (root / "b").mkdir()
    truncated(root / "b" / "cut.avi")
    paths = [path.relative_to(root).as_posix() for path in root.glob("*/*")]
    return root, paths, prepare_store(root / "store", root, paths, short_side=24)


def test_frames_keep_their_order_size_and_grey_levels(collection):
    _, _, store = collection
    frames = store.read_frames("a/ramp.avi", [0, 11, 5])
    assert frames.shape == (3, 24, 32, 3)
    levels = frames.reshape(3, -1).astype(float)
    np.testing.assert_allclose(levels.mean(axis=1), [10, 54, 30], atol=2.5)
    assert levels.std(axis=1).max() < 2
    facts = store.videos["a/ramp.avi"]
    assert (facts.num_frames, facts.height, facts.width, facts.reason) == (12, 24, 32, "")
    assert facts.fps == 25
    assert store.read_frames("a/tall.avi", [0]).shape == (1, 32, 24, 3)


def test_a_stored_video_is_read_as_a_file_is(collection):
    _, _, store = collection
    reader = store.reader("a/ramp.avi")
    assert isinstance(reader, FrameReader)
    assert (reader.count(), reader.fps, reader.incomplete) == (12, 25, "")
    expected = store.read_frames("a/ramp.avi", [2, 3, 9])
    np.testing.assert_array_equal(list(reader.select([2, 3, 9])), expected)
    assert store.reader("b/cut.avi").incomplete.startswith("incomplete: ")


def test_a_changed_source_is_decoded_again_and_only_that(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / "c" / f"{name}.avi", grey_ramp(4))
    paths = ["c/a.avi", "c/b.avi"]
    prepare_store(tmp_path / "store", tmp_path, paths, short_side=24)
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store/videos").glob("*/*")}
    write_video(tmp_path / "c" / "b.avi", grey_ramp(7))
    store = prepare_store(tmp_path / "store", tmp_path, paths, short_side=24)
    assert store.videos["c/b.avi"].num_frames == 7
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store/videos").glob("*/*")}
    assert sum(after[name] != files[name] for name in files) == 1


def test_a_store_of_another_size_is_refused(collection):
    root, paths, _ = collection
    with pytest.raises(UserError, match=r"with other settings.*Name another folder"):
        prepare_store(root / "store", root, paths, short_side=48)
    with pytest.raises(UserError, match=r"'frames': 'jpeg, quality 92'.*wanted.*'frames': 'raw'"):
        prepare_store(root / "store", root, paths, short_side=24, encoding="raw")


def test_a_flipped_byte_is_an_error_or_harmless_never_another_frame(tmp_path):
    write_video(tmp_path / "c" / "a.avi", noise(6))
    store = prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
    whole = store.read_jpegs("c/a.avi", range(6))
    (file,) = (tmp_path / "store" / "videos").glob("*/*")
    content = file.read_bytes()
    found = content.index(whole[3]) + len(whole[3]) // 2
    offsets = np.random.default_rng(0).integers(0, len(content), 60).tolist()
    errors = []
    for offset in [found, *offsets]:
        file.write_bytes(content[:offset] + bytes([content[offset] ^ 4]) + content[offset + 1 :])
        try:
            assert store.read_jpegs("c/a.avi", range(6)) == whole
        except StoreError as error:
            errors.append(str(error))
    assert errors
    for error in errors:
        assert error.startswith("the stored frames of c/a.avi are damaged")
        assert f"remove {file}" in error
    file.write_bytes(content[:found] + bytes([content[found] ^ 4]) + content[found + 1 :])
    with pytest.raises(StoreError):
        store.read_frames("c/a.avi", [3])


def test_raw_frames_are_the_decoded_ones_and_any_flipped_bit_is_an_error(tmp_path):
    write_video(tmp_path / "c" / "a.avi", noise(3, height=20, width=30))
    store = prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=20, encoding="raw")
    decoded = list(VideoReader(tmp_path / "c" / "a.avi", short_side=20))
    np.testing.assert_array_equal(store.read_frames("c/a.avi", [2, 0]), [decoded[2], decoded[0]])
    (file,) = (tmp_path / "store" / "videos").glob("*/*.raw")
    (facts,) = (tmp_path / "store" / "videos").glob("*/*.array_record")
    content = file.read_bytes()
    assert len(content) == 3 * (20 * 30 * 3 + 8)
    for offset in range(1808, 2 * 1808, 97):
        file.write_bytes(content[:offset] + bytes([content[offset] ^ 16]) + content[offset + 1 :])
        with pytest.raises(StoreError, match=r"frames of c/a\.avi are damaged \(frame 1") as error:
            store.read_frames("c/a.avi", [0, 1])
        assert f"remove {facts} and run again" in str(error.value)
        np.testing.assert_array_equal(store.read_frames("c/a.avi", [2])[0], decoded[2])
    os.truncate(file, 2 * 1808 + 100)
    with pytest.raises(StoreError, match="frame 2"):
        store.read_frames("c/a.avi", [2])
    facts.unlink()
    prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=20, encoding="raw")
    assert file.read_bytes() == content


def test_a_file_cut_short_is_decoded_again(tmp_path):
    write_video(tmp_path / "c" / "a.avi", grey_ramp(6))
    prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
    (file,) = (tmp_path / "store" / "videos").glob("*/*")
    content = file.read_bytes()
    os.truncate(file, len(content) // 2)
    prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
    assert file.read_bytes() == content


def test_a_touched_source_with_the_same_bytes_is_read_once_and_not_decoded(tmp_path, monkeypatch):
    source = write_video(tmp_path / "c" / "a.avi", grey_ramp(6))
    prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
    (file,) = (tmp_path / "store" / "videos").glob("*/*")
    before = file.stat().st_ino
    read = []

    def counted(path, hash_of=preparation.sha256):
        read.append(path)
        return hash_of(path)

    monkeypatch.setattr(preparation, "sha256", counted)
    for times in (1, 2):
        os.utime(source)
        for _ in range(3):
            store = prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
        assert read == [source] * times
    assert file.stat().st_ino == before
    assert store.videos["c/a.avi"].num_frames == 6
    source.write_bytes(source.read_bytes()[:-1] + b"x")
    prepare_store(tmp_path / "store", tmp_path, ["c/a.avi"], short_side=24)
    assert file.stat().st_ino != before


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_same_videos_elsewhere_are_not_decoded_again(tmp_path, monkeypatch, encoding):
    """A collection that moved, one with other names, and another store beside the first."""

    def prepared(root, store, *paths):
        return prepare_store(tmp_path / store, tmp_path / root, paths, short_side=24,
                             encoding=encoding)  # fmt: skip

    write_video(tmp_path / "old" / "c" / "a.avi", grey_ramp(6))
    frames = prepared("old", "store", "c/a.avi").read_frames("c/a.avi", range(6))
    for copy in ("new/c/a.avi", "new/d/renamed.avi"):
        (tmp_path / copy).parent.mkdir(parents=True)
        shutil.copyfile(tmp_path / "old" / "c" / "a.avi", tmp_path / copy)
    write_video(tmp_path / "new" / "d" / "other.avi", grey_ramp(9))
    shutil.rmtree(tmp_path / "old")
    decoded = []

    def counted(job, prepare=preparation._prepare_video):
        decoded.append(job.path)
        return prepare(job)

    monkeypatch.setattr(preparation, "_prepare_video", counted)
    monkeypatch.setattr(preparation, "map_processes", lambda f, jobs, **_: map(f, jobs))
    new = ["c/a.avi", "d/other.avi", "d/renamed.avi"]
    for store in ("store", "another"):
        for _ in range(2):
            found = prepared("new", store, *new)
            assert [found.videos[path].num_frames for path in new] == [6, 9, 6]
            assert [video.path for video in found.videos.values()] == new
            for path in ("c/a.avi", "d/renamed.avi"):
                np.testing.assert_array_equal(found.read_frames(path, range(6)), frames)
    assert decoded == ["d/other.avi"]


def test_frames_of_a_file_are_not_taken_from_where_another_one_is_by_now(tmp_path):
    """The store still knows the hash of what was replaced."""

    def prepared(*paths):
        return prepare_store(tmp_path / "store", tmp_path, paths, short_side=24)

    source = write_video(tmp_path / "c" / "a.avi", grey_ramp(6))
    content = source.read_bytes()
    prepared("c/a.avi")
    write_video(source, grey_ramp(9))
    prepared("c/a.avi")
    (tmp_path / "c" / "b.avi").write_bytes(content)
    store = prepared("c/a.avi", "c/b.avi")
    assert [store.videos[path].num_frames for path in ("c/a.avi", "c/b.avi")] == [9, 6]


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "store").touch()
    with pytest.raises(UserError, match="cannot be written"):
        prepare_store(tmp_path / "store", tmp_path, [], short_side=24)


def test_videos_are_stored_at_another_rate(tmp_path):
    for name, fps in (("slow", 10), ("fast", 50)):
        write_video(tmp_path / "c" / f"{name}.avi", grey_ramp(20), fps=fps)
    truncated(tmp_path / "c" / "cut.avi")
    paths = ["c/slow.avi", "c/fast.avi", "c/cut.avi"]
    store = prepare_store(tmp_path / "store", tmp_path, paths, short_side=48, fps=25)
    facts = [store.videos[path] for path in paths]
    assert [stored.num_frames for stored in facts[:2]] == [50, 10]
    assert {stored.fps for stored in facts} == {25}
    assert [stored.reason for stored in facts[:2]] == ["", ""]
    assert facts[2].reason.startswith("incomplete: ")
    levels = store.read_frames("c/fast.avi", range(10)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 10 + 8 * np.arange(10), atol=2.5)
    with pytest.raises(UserError, match="other settings"):
        prepare_store(tmp_path / "store", tmp_path, paths, short_side=48)
