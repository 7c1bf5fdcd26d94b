"""Kernels of networks as pictures, and how far P has moved."""

import json
import shutil

import numpy as np
import pytest

from analysis import kernels
from analysis.kernels import change, first_filters, initial_permutation, permutation, tiled
from analysis.runs import FigureOptions
from fstcn_keras import FSTCN
from fstcn_keras.layers import TPOperator
from fstcn_keras.parts import all_layers
from fstcn_keras.runs import RunFolder
from tests.training.runs import fit_arguments
from training import cli, fit
from training.errors import UserError
from training.networks import load_classifier
from training.options import FitOptions, read_config
from training.parts import replaced


def test_change_by_hand():
    initial = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert change(initial, initial) == {"distance": 0.0, "cosine": pytest.approx(1.0)}
    moved = change(np.array([[0.0, 5.0], [0.0, 4.0]]), initial)
    assert moved["distance"] == pytest.approx(np.sqrt(9 + 25) / 5)
    assert moved["cosine"] == pytest.approx(16 / (np.sqrt(41) * 5))


def test_tiles_stand_row_by_row():
    images = np.arange(3, dtype=float)[:, None, None, None] * np.ones((3, 2, 1, 1))
    expected = [[0, 9, 1], [0, 9, 1], [9, 9, 9], [2, 9, 9], [2, 9, 9]]
    assert tiled(images, 2, fill=9.0)[..., 0].tolist() == expected


@pytest.mark.parametrize(("backbone", "order"), [("vgg_m", [0, 1, 2]), ("squeezenet", [2, 1, 0])])
def test_filters_are_those_of_the_first_convolution_in_rgb(backbone, order):
    model = FSTCN(num_classes=2, preset="small", backbone=backbone)
    found = first_filters(model)
    weights = model.backbone.get_layer("conv1").get_weights()[0]
    assert found.shape == (weights.shape[-1], *weights.shape[:3])
    np.testing.assert_array_equal(found[5, 1, 2], weights[1, 2, order, 5])


def test_a_network_that_was_not_moved_has_the_initial_p(coloured_videos, tmp_path):
    """Trained as `fit` does, at a rate of next to nothing."""
    run = tmp_path / "run"
    more = ("--dataset", "hmdb51", "--store", str(coloured_videos / "store"), "--seed", "3")
    more += ("--optimizer", "sgd", "--learning-rate", "1e-12", "--paths", "temporal")
    cli.run(fit.main, FitOptions, fit_arguments(coloured_videos, run, *more))
    learned = permutation(load_classifier(RunFolder(run)).model)
    initial = initial_permutation(read_config(run / "config.yaml"), num_classes=4)
    np.testing.assert_allclose(learned, initial, rtol=1e-6, atol=1e-8)


def test_the_command(finished_run, tmp_path, capsys):
    cli.run(kernels.main, FigureOptions, [str(finished_run), "--out", str(tmp_path)])
    pictures = {"filters.png", "permutation.png", "tcl_3x3.png", "tcl_5x5.png"}
    assert {file.name for file in tmp_path.iterdir()} == {"kernels.json", *pictures}
    found = json.loads((tmp_path / "kernels.json").read_text())
    assert found["P"]["distance"] == 0.0  # the fixture's network was never trained
    assert found["P"]["cosine"] == pytest.approx(1.0)
    assert found["first_filters"] == [48, 7, 7, 3]
    assert "seed 0" in found["caption"]


def test_p_is_compared_with_that_of_the_run_that_training_started_from(finished_run, tmp_path):
    source = RunFolder(shutil.copytree(finished_run, tmp_path / "source"))
    classifier = load_classifier(source)
    (layer,) = (one for one in all_layers(classifier.model) if isinstance(one, TPOperator))
    layer.P.assign(2 * layer.P)
    expected = layer.P.numpy()
    classifier.save(source.path)
    options = replaced(read_config(finished_run / "config.yaml"), start_from=source.path)
    np.testing.assert_array_equal(initial_permutation(options, num_classes=4), expected)
    options = replaced(options, start_from=tmp_path / "gone")
    with pytest.raises(UserError, match=r"started from .*gone, whose P cannot be read"):
        initial_permutation(options, num_classes=4)


def test_a_run_whose_start_is_gone_has_its_other_kernels_drawn(finished_run, tmp_path, capsys):
    run, gone = tmp_path / "run", tmp_path / "gone"
    shutil.copytree(finished_run, run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("start_from: null", f"start_from: {gone}"))
    cli.run(kernels.main, FigureOptions, [str(run), "--out", str(tmp_path / "out")])
    drawn = {file.name for file in (tmp_path / "out").iterdir()}
    assert drawn == {"kernels.json", "filters.png", "tcl_3x3.png", "tcl_5x5.png"}
    assert "P" not in json.loads((tmp_path / "out" / "kernels.json").read_text())
    assert f"P is not drawn: the run was started from {gone}" in capsys.readouterr().out


def test_a_run_without_temporal_path(finished_run, spatial_run, tmp_path, capsys):
    """Whose figures stand where another network's were."""
    cli.run(kernels.main, FigureOptions, [str(finished_run), "--out", str(tmp_path)])
    cli.run(kernels.main, FigureOptions, [str(spatial_run), "--out", str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == {"kernels.json", "filters.png"}
    assert "no P and no TCL: the run has no temporal path" in capsys.readouterr().out
