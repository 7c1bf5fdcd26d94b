"""Stage 1: from a folder of images to weights that `fit` starts from."""

import csv
import shutil
import urllib.error
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from fstcn_keras import fstcn
from fstcn_keras.config import PRESETS
from fstcn_keras.weights import load_weights, source_videos
from tests.training.runs import fit_arguments, store_of
from tests.training.test_cli import error_of
from tests.videos import write_noise_folder
from training import cli, fit, prepare, pretrain
from training.data.splits import open_data
from training.options import FitOptions
from training.prepare import PrepareOptions
from training.pretrain import PretrainOptions


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes told apart by colour, of all sizes, and a file that is no image."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for number in range(8):
            height, width = generator.integers(20, 200, 2)
            pixels = generator.integers(0, 100, (height, width, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            suffix = ("jpg", "png")[number % 2]
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")
    (root / "red" / "text.jpg").write_text("no image")
    return root


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_noise_folder(tmp_path_factory.mktemp("videos"), 8, num_frames=6)


def arguments(images: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--images", str(images), "--out", str(out), "--epochs", "2", "--batch-size", "6"),
        *("--val-fraction", "0.25", "--precision", "float32", "--checkpoint-minutes", "0", *more),
    ]


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "pretrain"
    cli.run(pretrain.main, PretrainOptions, arguments(images, folder))
    return folder


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of an HDF5 file by their paths in it."""
    found = {}
    with h5py.File(file) as content:
        content.visititems(lambda name, item: found.update({name: item}))
        return {name: item[()] for name, item in found.items() if isinstance(item, h5py.Dataset)}


def test_the_run_folder_is_complete_and_the_colours_are_learnt(run):
    assert (run / "classes.txt").read_text().split() == ["blue", "green", "red"]
    rejected = (run / "rejected.csv").read_text().splitlines()[1:]
    assert rejected == ["red/text.jpg,no JPEG or PNG,0,0,0"]
    assert not list(run.rglob("*partial*"))
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] + row["epoch"] for row in rows] == ["pretraining0", "pretraining1"]
    assert max(float(row["val_top1"]) for row in rows) > 0.6  # chance is a third
    names = {"conv1", "conv2", "conv3", "conv4", "parallel_scl", "spatial_fc", "spatial_features"}
    assert {name.split("/")[0] for name in read_tensors(run / "weights.h5")} == names


def test_a_finished_run_is_not_trained_again(run, images, capsys):
    before = (run / "weights.h5").stat().st_mtime_ns
    cli.run(pretrain.main, PretrainOptions, arguments(images, run))
    assert "is finished already" in capsys.readouterr().out
    assert (run / "weights.h5").stat().st_mtime_ns == before
    error = error_of(capsys, pretrain.main, PretrainOptions, *arguments(images, run, "--seed", "1"))
    assert "other options (seed: 0, not 1)" in error


def test_a_run_goes_on_to_the_same_weights_with_the_same_images(run, images, tmp_path, capsys):
    out = shutil.copytree(run, tmp_path / "run")
    (out / "weights.h5").unlink()
    newest = sorted((out / "checkpoints").glob("pretraining-*.npz"))[-1]
    newest.unlink()  # as if killed before it was written
    extra = images / "blue" / "later.png"
    Image.new("RGB", (50, 50)).save(extra)
    try:
        cli.run(pretrain.main, PretrainOptions, arguments(images, out))
    finally:
        extra.unlink()
    assert "are done already" in capsys.readouterr().out
    assert newest.exists()
    expected = read_tensors(run / "weights.h5")
    for name, values in read_tensors(out / "weights.h5").items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_weights_that_leak_test_videos(run, videos, tmp_path, capsys):
    """Frames of one split's training videos may be of another's test videos."""
    assert source_videos(run / "weights.h5") == []  # its images are no frames of videos
    frames = tmp_path / "frames"
    options = ["--dataset", "folder", "--data-dir", str(videos)]
    store = ("--store", str(store_of(videos)))
    cli.run(prepare.main, PrepareOptions, [*options, *store, "--images", str(frames)])
    weights = tmp_path / "stage1" / "weights.h5"
    cli.run(pretrain.main, PretrainOptions, arguments(frames, weights.parent, "--epochs", "1"))
    assert source_videos(weights) == sorted(paths(videos, "train", options))
    other = fit_arguments(videos, tmp_path / "run", "--split", "2", "--scl-weights", str(weights))
    tested = paths(videos, "test", [*options, "--split", "2"])
    known = sorted(tested & set(source_videos(weights)))
    error = error_of(capsys, fit.main, FitOptions, *other)
    assert f"{weights} has learned from frames of {len(known)} of this split's test" in error
    assert known[0] in error


def paths(videos: Path, side: str, options: list[str]) -> set[str]:
    chosen = cli.parse(FitOptions, options)
    short_side = PRESETS["small"].short_side
    store = store_of(videos)
    dataset, _ = open_data(chosen.collection, chosen.split, store, short_side=short_side)
    return {video.path for video in dataset.side(side)}


def test_the_network_takes_the_weights_by_name(run):
    model = fstcn(num_classes=2, preset="small")
    report = load_weights(model, run / "weights.h5")
    layers = ("conv1", "conv2", "conv3", "conv4", "parallel_scl", "spatial_fc", "spatial_features")
    assert report.layers == layers
    assert report.unused == ()
    expected = read_tensors(run / "weights.h5")
    for variable in model.frame_encoder.get_layer("parallel_scl").weights:
        assert any(np.array_equal(variable, values) for values in expected.values())


@pytest.fixture(scope="module")
def mobile_weights(tmp_path_factory):
    """Of a whole random network, in the format of Keras Applications."""
    file = tmp_path_factory.mktemp("weights") / "mobilenet.h5"
    network = keras.applications.MobileNetV3Small(include_top=False, weights=None)
    network.get_layer("conv_bn").moving_mean.assign(np.full(16, 0.25))
    network.save(file)
    return file


def test_fit_with_the_layers_of_another_network(videos, mobile_weights, tmp_path):
    more = ("--scl", "mobilenetv3small", "--scl-weights", str(mobile_weights), "--paths", "spatial")
    cli.run(fit.main, FitOptions, fit_arguments(videos, tmp_path / "run", *more))
    backbone = keras.saving.load_model(tmp_path / "run" / "model.keras").backbone
    normalization = backbone.get_layer("conv_bn")
    gamma, beta, moving_mean, _ = normalization.get_weights()
    assert not normalization.trainable
    np.testing.assert_array_equal(gamma, np.ones(16))
    np.testing.assert_array_equal(beta, np.zeros(16))
    np.testing.assert_array_equal(moving_mean, np.full(16, 0.25))
    before = read_tensors(mobile_weights)
    kernel = next(value for name, value in before.items() if value.shape == (3, 3, 3, 16))
    assert np.any(backbone.get_layer("conv").get_weights()[0] != kernel)  # fine-tuned
    assert backbone.get_layer("feature_scale").get_weights()[0] > 2  # random features are faint


def test_weights_of_another_network(run, videos, mobile_weights, tmp_path, capsys):
    def error(*more: object) -> str:
        options = fit_arguments(videos, tmp_path / "run", *map(str, more))
        return error_of(capsys, fit.main, FitOptions, *options)

    text = error("--scl", "mobilenetv3large", "--scl-weights", mobile_weights)
    assert "layers of mobilenetv3large, not " in text
    assert "is it of another --scl" in text
    text = error("--scl", "vgg16", "--scl-weights", run / "weights.h5")
    assert "is it of another --scl" in text
    assert "no tensor of" in error("--scl-weights", mobile_weights)
    assert "no ImageNet weights of vgg_m to be had" in error("--scl-weights", "imagenet")
    assert "--scl must be vgg_m, squeezenet" in error("--scl", "vgg_19")


def test_imagenet_weights_without_a_network(videos, tmp_path, capsys, monkeypatch):
    def no_network(*_, **__):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    more = ("--scl", "mobilenetv3small", "--scl-weights", "imagenet")
    options = fit_arguments(videos, tmp_path / "run", *more)
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert "the ImageNet weights of mobilenetv3small cannot be had: URL fetch failure" in error
    assert "Temporary failure in name resolution" in error
    assert "https://storage.googleapis.com" in error
    assert "--scl-weights FILE" in error


def test_options_that_hold_nothing_out_can_be_given_anew(images, tmp_path, capsys):
    out = tmp_path / "run"
    few = arguments(images, out, "--val-fraction", "0.01")
    error = error_of(capsys, pretrain.main, PretrainOptions, *few)
    assert "--val-fraction 0.01 holds nothing out" in error
    other = shutil.copytree(images, tmp_path / "other")
    Image.new("RGB", (50, 50)).save(other / "blue" / "later.png")
    cli.run(pretrain.main, PretrainOptions, arguments(other, out, "--epochs", "1"))
    assert (out / "weights.h5").exists()
    with (out / "images.csv").open(newline="") as file:
        indexed = {path for path, *_ in csv.reader(file)}
    assert indexed == {f"{file.parent.name}/{file.name}" for file in other.glob("*/*")}


def test_image_folders_that_cannot_be_trained_on(tmp_path, capsys):
    def error(folder: Path) -> str:
        out = tmp_path / "runs" / folder.name
        return error_of(capsys, pretrain.main, PretrainOptions, *arguments(folder, out))

    assert f"{tmp_path / 'none'} is not a folder" in error(tmp_path / "none")
    for name in ("empty", "loose", "classes/a", "one/a", "unreadable/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("loose", "one/a"):
        Image.new("L", (9, 9)).save(tmp_path / name / "i.png")
    for name in ("empty", "loose", "classes"):
        assert "no images found" in error(tmp_path / name)
    expected = "1 images of 1 classes can be decoded; there is nothing to tell"
    assert expected in error(tmp_path / "one")
    (tmp_path / "unreadable" / "a" / "i.png").touch()
    text = error(tmp_path / "unreadable")
    assert "0 images of 0 classes can be decoded" in text
    assert "rejected.csv" in text
    assert not (tmp_path / "runs" / "unreadable" / "images.csv").exists()  # looks again next time
    unnamed = error_of(capsys, pretrain.main, PretrainOptions)
    assert unnamed == "error: name the folder of the images with --images"


@pytest.mark.parametrize(
    ("argument", "value"), [("--epochs", "0"), ("--batch-size", "0"), ("--learning-rate", ".inf")]
)
def test_numbers_out_of_range(images, tmp_path, capsys, argument, value):
    options = arguments(images, tmp_path / "run", argument, value)
    assert argument in error_of(capsys, pretrain.main, PretrainOptions, *options)
