"""Files of arrays with bytes that have changed."""

import numpy as np
import pytest

from fstcn_keras.stored_arrays import read_arrays


@pytest.fixture(params=[np.savez, np.savez_compressed])
def file(request, tmp_path):
    with (tmp_path / "a.npz").open("wb") as stream:
        numbers = np.random.default_rng(0).integers(0, 9, 400)
        request.param(stream, numbers=numbers, names=np.array(["jump", "run"]))
    return tmp_path / "a.npz"


def test_whatever_bytes_have_changed(file):
    expected, content = read_arrays(file), file.read_bytes()
    refused = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place : place + 8] = bytes(byte ^ 0xFF for byte in changed[place : place + 8])
        file.write_bytes(changed)
        try:
            found = read_arrays(file)
        except ValueError:
            refused += 1
            continue
        for name in found.keys() & expected.keys():  # names and times of files bear no checksum
            np.testing.assert_array_equal(found[name], expected[name])
    assert refused > 0.9 * len(content)


@pytest.mark.parametrize("content", [b"", b"no arrays"])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is damaged: "):
        read_arrays(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"a\.npy is damaged: "):
        read_arrays(tmp_path / "a.npy")


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")
