"""MATLAB's files, against what SciPy wrote into them."""

import struct

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import eye

from fstcn_keras.backbones.mat_file import read_variables

RNG = np.random.default_rng(0)
ARRAYS = {
    "kernel": RNG.normal(size=(2, 3, 4, 5)).astype(np.float32),
    "vector": RNG.normal(size=(1, 7)),
    "bytes": RNG.integers(0, 256, (3, 1), dtype=np.uint8),
    "small": np.array([[7]], np.int16),
    "large": RNG.integers(-(2**60), 2**60, (2, 2)),
    "flags": np.array([[True, False]]),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_of_every_type(tmp_path, compressed):
    savemat(tmp_path / "a.mat", ARRAYS, do_compression=compressed)
    found = read_variables(tmp_path / "a.mat", ARRAYS)
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == (np.uint8 if name == "flags" else values.dtype)
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("compressed", [True, False])
def test_cells_structs_and_texts(tmp_path, compressed):
    cell = np.empty((1, 3), object)
    cell[0, :] = [{"name": "conv1", "pad": 2.0}, "größer", np.zeros((2, 0))]
    structs = np.zeros((1, 2), [("a", object), ("b", object)])
    structs[0, 1]["a"] = "second"
    variables = {"cell": cell, "structs": structs, "other": np.zeros(3)}
    savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    found = read_variables(tmp_path / "a.mat", ["cell", "structs", "absent"])
    assert list(found) == ["cell", "structs"]
    first, text, empty = found["cell"]
    assert list(first) == ["name", "pad"]
    assert (first["name"], first["pad"].item(), text, empty.shape) == (
        "conv1",
        2.0,
        "größer",
        (2, 0),
    )
    assert [entry["a"] for entry in found["structs"]][1] == "second"


def test_what_is_no_array_of_numbers_is_left_out(tmp_path):
    savemat(tmp_path / "a.mat", {"sparse": eye(3), "complex": np.array([1 + 2j])})
    assert read_variables(tmp_path / "a.mat", ["sparse", "complex"]) == {
        "sparse": None,
        "complex": None,
    }


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def variable(*, stored: int, content: bytes, shape=(1, 3), matlab_class: int = 6) -> bytes:
    """A file with the one variable `x`, a matrix of doubles by default."""
    head = element(6, struct.pack("<II", matlab_class, 0)) + element(5, struct.pack("<2i", *shape))
    matrix = element(14, head + element(1, b"x") + element(stored, content))
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + matrix


def test_matlab_stores_doubles_as_bytes_where_these_do(tmp_path):
    (tmp_path / "a.mat").write_bytes(variable(stored=2, content=bytes([1, 2, 250])))
    (values,) = read_variables(tmp_path / "a.mat", ["x"]).values()
    assert values.dtype == np.float64
    assert values.tolist() == [[1.0, 2.0, 250.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (variable(stored=9, content=bytes(16)), r"shape \(1, 3\) has 16 bytes of type 9"),
        (variable(stored=9, content=bytes(24), shape=(-1, -3)), r"cannot have the shape"),
        (variable(stored=99, content=bytes(24)), "bytes of type 99"),
        (variable(stored=9, content=bytes(24))[:-9], "cut short or damaged"),
        (variable(stored=14, content=b"", shape=(2**30, 2), matlab_class=1), "more entries than"),
        (variable(stored=9, content=bytes(24))[:60], "no MATLAB file"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_variables(tmp_path / "a.mat", ["x"])


def test_cells_without_end(tmp_path):
    nested = element(14, b"")
    for _ in range(40):
        head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<2i", 1, 1))
        nested = element(14, head + element(1, b"x") + nested)
    (tmp_path / "a.mat").write_bytes(b"MATLAB".ljust(124) + b"\x00\x01IM" + nested)
    with pytest.raises(ValueError, match="too deep"):
        read_variables(tmp_path / "a.mat", ["x"])


@pytest.mark.parametrize("compressed", [True, False])
def test_any_wrong_bytes_give_other_values_or_one_error(tmp_path, compressed):
    path = tmp_path / "a.mat"
    savemat(path, {**ARRAYS, "layer": {"name": "conv1", "pad": 2.0}}, do_compression=compressed)
    whole = path.read_bytes()
    errors = []
    for _ in range(500):
        changed = bytearray(whole)
        for position in RNG.integers(0, len(whole), 3):
            changed[position] = RNG.integers(256)
        path.write_bytes(changed)
        try:
            read_variables(path, [*ARRAYS, "layer"])
        except ValueError as error:
            errors.append(str(error))
    assert len(errors) > 50
    assert not any("\n" in error for error in errors)
