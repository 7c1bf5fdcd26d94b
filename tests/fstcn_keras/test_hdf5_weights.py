"""Files of weights that reach for other files, or for all memory."""

import tracemalloc

import h5py
import numpy as np
import pytest

from fstcn_keras.hdf5_weights import read_tensors, read_texts

SECRET = np.arange(6, dtype="float32").reshape(3, 2)


def write(file, tensor=None, *, layers=("fc",), names=("kernel",)) -> h5py.Group:
    """Begins a file of one layer, whose tensor a test adds unless it is given."""
    file.attrs["layer_names"] = [*layers]
    group = file.create_group("fc")
    group.attrs["weight_names"] = [*names]
    if tensor is not None:
        group["kernel"] = tensor
    return group


def wanted(layer: str, position: int) -> tuple[int, ...]:
    return (3, 2)


@pytest.fixture
def other(tmp_path):
    """A file that a hostile one reaches for."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = SECRET
    (tmp_path / "raw").write_bytes(SECRET.tobytes())
    return tmp_path


def linked(group, folder):
    group["kernel"] = h5py.ExternalLink(folder / "other.h5", "secret")


def linked_softly(group, folder):
    group["elsewhere"] = h5py.ExternalLink(folder / "other.h5", "secret")
    group["kernel"] = h5py.SoftLink("/fc/elsewhere")


def linked_root(group, folder):
    group.parent["model_weights"] = h5py.ExternalLink(folder / "other.h5", "/")


def linked_layer(group, folder):
    file = group.parent
    del file["fc"]
    file["fc"] = h5py.ExternalLink(folder / "other.h5", "/")


def stored_outside(group, folder):
    group.create_dataset("kernel", (3, 2), "float32", external=[(folder / "raw", 0, 24)])


def virtual(group, folder):
    layout = h5py.VirtualLayout((3, 2), "float32")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "secret", (3, 2))
    group.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        (linked, "kernel is a link, maybe to another file"),
        (linked_softly, "kernel is a link, maybe to another file"),
        (linked_root, "model_weights is a link, maybe to another file"),
        (linked_layer, "fc is a link, maybe to another file"),
        (stored_outside, "fc/kernel lies in another file"),
        (virtual, "fc/kernel lies in another file"),
    ],
)
def test_no_other_file_is_read(other, reach, message):
    with h5py.File(other / "w.h5", "w") as file:
        reach(write(file), other)
    with pytest.raises(ValueError, match=message):
        read_tensors(other / "w.h5", wanted)


def test_texts_of_another_file_are_not_read(other):
    with h5py.File(other / "other.h5", "a") as file:
        file["texts"] = '["a"]'
    for link in (h5py.ExternalLink(other / "other.h5", "texts"), h5py.SoftLink("/elsewhere")):
        with h5py.File(other / "w.h5", "w") as file:
            file["texts"] = link
        with pytest.raises(ValueError, match="texts is a link, maybe to another file"):
            read_texts(other / "w.h5", "texts")


@pytest.mark.parametrize(
    "content",
    [h5py.Empty("f"), 3.5, "[1]", '{"a": 1}', "no JSON", "[" * 100_000, ['["a"]'], np.bytes_("[]")],
)
def test_what_is_no_list_of_texts(tmp_path, content):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["texts"] = content
        file.create_group("group")
        file.create_dataset("numbers", (), h5py.vlen_dtype(int))
    for name in ("texts", "group", "numbers"):
        with pytest.raises(ValueError, match=f"{name} must hold a list of texts in JSON"):
            read_texts(tmp_path / "w.h5", name)
    assert read_texts(tmp_path / "w.h5", "videos") == []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.array([[1, np.nan], [0, 0], [0, 0]]), "fc/kernel holds numbers that are not finite"),
        (np.full((3, 2), np.inf, "float32"), "fc/kernel holds numbers that are not finite"),
        (np.ones((3, 2), "int32"), "floating-point numbers. Received: int32"),
        (np.array([b"abc"]), "floating-point numbers. Received"),
    ],
)
def test_tensors_of_no_use(tmp_path, tensor, message):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file, tensor)
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "w.h5", wanted)


def test_groups_and_tensors_in_each_others_place(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file).create_group("kernel")
    with pytest.raises(ValueError, match="fc/kernel is a group where a tensor belongs"):
        read_tensors(tmp_path / "w.h5", wanted)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file, SECRET, layers=["fc/kernel"])
    with pytest.raises(ValueError, match="kernel is a tensor, not the group of a layer"):
        read_tensors(tmp_path / "w.h5", wanted)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file, SECRET, names=["kernel/0"])
    with pytest.raises(ValueError, match="/fc/kernel is a tensor, not a group"):
        read_tensors(tmp_path / "w.h5", wanted)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file, SECRET, names=["bias"])
    with pytest.raises(ValueError, match="no HDF5 file of Keras weights"):
        read_tensors(tmp_path / "w.h5", wanted)


def test_a_few_bytes_that_stand_for_gigabytes_take_no_memory(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        shape = (40_000, 10_000)  # 1.6 GB of zeros
        write(file).create_dataset("kernel", shape, "float32", chunks=True, compression="gzip")
    assert (tmp_path / "w.h5").stat().st_size < 100_000
    tracemalloc.start()
    found = read_tensors(tmp_path / "w.h5", wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["fc", 0].shape == shape
    assert peak < 1_000_000


def test_tensors_by_layer_and_place(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file, SECRET, names=[b"kernel", b"nested/bias:0"])["nested/bias:0"] = np.ones(2)
    found = read_tensors(tmp_path / "w.h5", lambda *key: {("fc", 0): (3, 2)}.get(key))
    assert found.keys() == {("fc", 0), ("fc", 1)}
    np.testing.assert_array_equal(found["fc", 0], SECRET)
    assert found["fc", 1].tolist() == [0, 0]  # not wanted, and so not read
