"""Figure 4 as a command: files, choice of classes, and what it refuses."""

import json
import shutil

import numpy as np
import pytest

from analysis import tsne
from analysis.embedding import Map
from analysis.features import VideoFeatures
from analysis.separation import separation
from analysis.style import FEATURES
from analysis.tsne import PAPER_CLASSES, Panel, TsneOptions, choose_classes, draw
from tests.training.test_cli import error_of
from training import cli


@pytest.fixture(scope="module")
def figures(finished_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    cli.run(tsne.main, TsneOptions, [str(finished_run), "--out", str(out)])
    return out


def test_all_files_are_written(figures):
    assert (figures / "tsne.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (figures / "tsne.svg").read_bytes()
    names = {file.name for file in figures.iterdir()}
    assert names == {"tsne.png", "tsne.svg", "tsne.json", "tsne.html"}


def test_the_table_says_what_it_is_of(figures):
    table = json.loads((figures / "tsne.json").read_text())
    assert "hmdb51 split 1: 12 of 13 test videos, those of 3 of 4 classes" in table["caption"]
    assert "2 clips x 18 crops" in table["caption"]
    assert "seed 0" in table["caption"]
    assert set(table["layers"]) == set(FEATURES)
    assert table["layers"]["spatial_features"]["knn"] == 1.0  # colours, even untrained
    assert table["layers"]["spatial_features"]["neighbours"] == 3


def test_the_page_is_whole_and_escapes_names(figures):
    page = (figures / "tsne.html").read_text()
    assert page.count('class="point"') == 3 * 12
    assert "<b>" not in page
    assert "blue &lt;b&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 12
    assert "http://" not in page
    assert "https://" not in page


def test_the_same_command_gives_the_same_files(figures, finished_run, tmp_path):
    cli.run(tsne.main, TsneOptions, [str(finished_run), "--out", str(tmp_path)])
    for name in ("tsne.png", "tsne.svg", "tsne.html"):
        assert (tmp_path / name).read_bytes() == (figures / name).read_bytes()


def test_a_run_of_one_path_has_two_maps(spatial_run):
    cli.run(tsne.main, TsneOptions, [str(spatial_run), "--classes", "red,green"])
    table = json.loads((spatial_run / "figures" / "tsne.json").read_text())
    assert set(table["layers"]) == {"spatial_features", "spatio_temporal_features"}
    assert "8 of 13 test videos" in table["caption"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("red,purple", "knows no class 'purple'; its classes are blue <b>, green, red, single"),
        ("red,single", "only 1 of the videos is of single; a class needs two or more"),
        ("red", "must name two classes or more, got 'red'"),
        ("", "must name two classes or more, got ''"),
    ],
)
def test_classes_that_cannot_be_shown(finished_run, capsys, classes, expected):
    error = error_of(capsys, tsne.main, TsneOptions, finished_run, "--classes", classes)
    assert expected in error


def test_a_run_without_test_videos(finished_run, coloured_videos, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    lists = coloured_videos / "none"
    lists.mkdir()
    for file in (coloured_videos / "testTrainMulti_7030_splits").iterdir():
        (lists / file.name).write_text(file.read_text().replace(".avi 2", ".avi 1"))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("splits_dir: null", f"splits_dir: {lists}"))
    error = error_of(capsys, tsne.main, TsneOptions, run)
    assert "split 1 has no test video: either its lists name none" in error


@pytest.mark.parametrize("names", [["x" * 150, "y"], [f"class {n}" for n in range(101)]])
def test_the_names_of_all_classes_fit_beside_the_maps(names):
    labels = np.repeat(np.arange(len(names)), 2)
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    panel = Panel(
        layer="spatial_features",
        map=Map(points=points, seed=0, perplexity=1.0, trustworthiness=1.0, procrustes=0.0),
        separation=separation(points, labels, [str(n) for n in range(len(labels))], seed=0),
    )
    figure = draw([panel], features_of(labels, len(names)), tuple(names), "caption")
    figure.draw_without_rendering()
    [legend], [axes] = figure.legends, figure.axes
    box = legend.get_window_extent()
    assert len(legend.get_texts()) == len(names)
    assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    assert box.x1 <= figure.bbox.width
    assert axes.get_window_extent().width > 3 * figure.dpi  # inches


def features_of(labels: np.ndarray, num_classes: int) -> VideoFeatures:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(num_classes), len(labels))
    paths = tuple(map(str, range(len(labels))))
    scores = {"probabilities": probabilities, "scores": probabilities}
    return VideoFeatures(paths=paths, labels=labels, features={}, **scores)


def test_the_papers_classes_are_shown_where_the_data_has_them():
    names = ("run", *sorted(PAPER_CLASSES), "walk", "wave")
    labels = np.repeat(np.arange(len(names)), 2)
    chosen = choose_classes(None, names, features_of(labels, len(names)))
    assert [names[label] for label in chosen] == list(PAPER_CLASSES)
    chosen = choose_classes(None, names, features_of(labels[labels != 1], len(names)))
    assert len(chosen) == 8  # one of the seven is not there: the most confused
