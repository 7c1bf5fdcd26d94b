"""Files that are whole or not there."""

import errno

import pytest

from fstcn_keras.files import atomic_write, atomic_write_text


def write_half(file, error: Exception):
    with atomic_write(file) as partial:
        partial.write_text("half")
        raise error


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    atomic_write_text(file, "before")
    with pytest.raises(ZeroDivisionError):
        write_half(file, ZeroDivisionError())
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.npz'"):
        write_half(tmp_path / "a.npz", full)


def test_a_folder_that_is_not_there_is_told_with_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No such file or directory: '.*/none/a\.txt'"):
        atomic_write_text(tmp_path / "none" / "a.txt", "")
