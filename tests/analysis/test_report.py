"""The page of a run: what is on it, what is not there yet, and how a browser takes it."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from analysis import errors, kernels, report, tsne
from analysis.runs import FigureOptions
from tests.analysis.browser import needs_chromium, visit, with_script
from tests.training.test_cli import error_of
from training import cli, judgement


@pytest.fixture(scope="module")
def drawn(finished_run, tmp_path_factory):
    """A run with all its figures and its page."""
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("runs") / "a <i> & 'run'")
    cli.run(tsne.main, tsne.TsneOptions, [str(run)])
    for command in (errors, kernels, report):
        cli.run(command.main, FigureOptions, [str(run)])
    return run


def test_the_page_holds_every_picture_and_tells_protocol_and_accuracies(drawn):
    page = (drawn / "figures" / "report.html").read_text()
    pictures = [file for file in (drawn / "figures").iterdir() if file.suffix == ".png"]
    assert len(pictures) == 9
    for picture in pictures:
        assert f"<figcaption>{picture.name}</figcaption>" in page
    assert not re.search(r"""src=["'](?!data:)""", page)
    assert "a &lt;i&gt; &amp;" in page
    metrics = json.loads((drawn / "metrics.json").read_text())
    assert "hmdb51 split 1: 13 test videos of 4 classes, 2 clips x 18 crops a video" in page
    assert f"<td>{100 * metrics['video']['sci']['top1']:.1f} %</td>" in page
    assert f"<td>{100 * metrics['clip']['mean_class']:.1f} %</td>" in page
    assert metrics["protocol"]["weights_sha256"] in page
    assert "recipe modern; from random weights; seed 0" in page
    found = json.loads((drawn / "figures" / "tsne.json").read_text())
    silhouette = found["layers"]["temporal_features"]["silhouette"]
    assert f"<td>{silhouette:.3f}</td>" in page
    assert page.count("not drawn yet") == 1  # saliency


class Page(HTMLParser):
    """What comes before the first figure: the rows of the answer, and the mistakes."""

    def __init__(self, file):
        super().__init__()
        self.order, self.rows, self.links, self.mistakes, self.text = [], [], [], [], ""
        self._link = None
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("table", "figure", "h2"):
            self.order.append(given.get("id", tag))
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        if tag == "a":
            self._link = given["href"]
        if tag == "img" and given.get("class") == "frame":
            self.mistakes.append({"frame": given["src"], "link": self._link})
        if tag == "img" and given.get("class") == "strip":
            self.mistakes[-1]["strip"] = given["src"]

    def handle_endtag(self, tag):
        self._link = None if tag == "a" else self._link

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_answer_comes_first(drawn):
    page = Page(drawn / "figures" / "report.html")
    assert page.order[:4] == ["answer", "h2", "h2", "table"]
    metrics = json.loads((drawn / "metrics.json").read_text())
    top1, judged = metrics["video"]["sci"]["top1"], metrics["judgement"]
    network, commonest, chance = ([cell.strip() for cell in row] for row in page.rows[:3])
    assert network[:2] == ["this network", f"{100 * top1:.1f} %"]
    low, high = (f"{100 * value:.1f} %" for value in judged["interval"])
    assert network[3] == f"95 % interval {low} to {high}, by {judged['sources']} sources"
    assert commonest[1] == f"{100 * judged['commonest']['share']:.1f} %"
    assert chance[:2] == ["chance", "25.0 %"]
    for text in judgement.advice(judged, metrics["classes"], accuracy=top1):
        assert text in page.text
    assert "no linear baseline without pre-trained weights" in page.text


def test_the_baseline_stands_beside_the_network(drawn, tmp_path):
    run = shutil.copytree(drawn, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    baseline = {"top1": 0.5, "difference": -0.125, "interval": [-0.25, 0.0]}
    metrics["judgement"]["baseline"] = baseline
    (run / "metrics.json").write_text(json.dumps(metrics))
    cli.run(report.main, FigureOptions, [str(run)])
    row = [cell.strip() for cell in Page(run / "figures" / "report.html").rows[1]]
    assert row[:2] == ["linear classifier of the pre-trained features", "50.0 %"]
    assert row[3] == "the network minus this -12.5 points, 95 % interval -25.0 to +0.0"
    del metrics["judgement"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    cli.run(report.main, FigureOptions, [str(run)])
    page = Page(run / "figures" / "report.html")
    assert [row[0] for row in page.rows[:2]] == ["this network", "chance"]
    assert f"of an older version; python -m training.evaluate {run}" in page.text


def test_why_there_is_no_baseline_and_which_class_is_always_named(drawn, tmp_path):
    run = shutil.copytree(drawn, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["judgement"] |= {"pretrained": True, "trained": [5, 5, 1, 1]}
    (run / "metrics.json").write_text(json.dumps(metrics))
    cli.run(report.main, FigureOptions, [str(run)])
    page = Page(run / "figures" / "report.html")
    assert "no linear baseline of these views" in page.text
    assert "--scl-weights" not in page.text
    assert "most frequent in training" not in page.text  # two are


@pytest.mark.parametrize("lacking", ["commonest", "sources"])
def test_a_damaged_judgement(drawn, tmp_path, capsys, lacking):
    run = shutil.copytree(drawn, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["judgement"][lacking]
    (run / "metrics.json").write_text(json.dumps(metrics))
    error = error_of(capsys, report.main, FigureOptions, run)
    assert f"metrics.json is damaged (KeyError('{lacking}')): 'python -m training.eval" in error


def test_each_mistake_opens_its_video_beside_what_misled(drawn, tmp_path):
    record = json.loads((drawn / "figures" / "mistakes.json").read_text())
    page = Page(drawn / "figures" / "report.html")
    assert len(page.mistakes) == len(record["mistakes"]) > 0
    for shown, known in zip(page.mistakes, record["mistakes"], strict=True):
        video = Path(unquote(urlsplit(shown["link"]).path))
        assert urlsplit(shown["link"]).scheme == "file"
        assert video == Path(record["root"]) / known["video"]
        assert video.is_file()
        for name in ("frame", "strip"):
            kind, data = shown[name].split(",")
            assert kind == "data:image/jpeg;base64"
            assert base64.b64decode(data) == (drawn / "figures" / known[name]).read_bytes()
    run = shutil.copytree(drawn, tmp_path / "run")
    record["root"] = str(tmp_path / "gone")
    (run / "figures" / "mistakes.json").write_text(json.dumps(record))
    cli.run(report.main, FigureOptions, [str(run)])
    page = Page(run / "figures" / "report.html")
    assert [shown["link"] for shown in page.mistakes] == [None] * len(record["mistakes"])
    assert page.text.count(f"the video is not in {tmp_path / 'gone'} any more") == len(
        page.mistakes
    )
    (run / "figures" / "mistakes.json").unlink()
    cli.run(report.main, FigureOptions, [str(run)])
    assert (
        f"not drawn yet: python -m analysis.errors {run}"
        in Page(run / "figures" / "report.html").text
    )


def test_what_is_not_drawn_is_named_with_its_command(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(run / "figures", ignore_errors=True)
    cli.run(report.main, FigureOptions, [str(run)])
    printed = capsys.readouterr().out
    for command in ("errors", "tsne", "saliency", "kernels"):
        assert f"not drawn yet: python -m analysis.{command} {run}" in printed


def test_figures_of_other_weights_are_told_apart(drawn, tmp_path, capsys):
    run = shutil.copytree(drawn, tmp_path / "run")
    metrics = (run / "metrics.json").read_text()
    before = json.loads(metrics)["protocol"]["weights_sha256"]
    (run / "metrics.json").write_text(metrics.replace(before, "0" * 64))
    cli.run(report.main, FigureOptions, [str(run)])
    assert capsys.readouterr().out.count("drawn from other weights than the accuracies") == 3


def test_each_record_of_saliency_has_its_pictures(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    folder = run / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for stem in ("saliency-a[1]", "saliency-b"):
        record = {"caption": f"caption of {stem}", "weights_sha256": "x"}
        (folder / f"{stem}.json").write_text(json.dumps(record))
        (folder / f"{stem}.gif").write_bytes(b"GIF89a")
    (folder / "saliency-b.mp4").write_bytes(b"film")
    cli.run(report.main, FigureOptions, [str(run)])
    page = (folder / "report.html").read_text()
    assert page.count("Where it looks") == 2
    assert page.count("data:image/gif;base64,R0lGODlh") == 2
    assert page.count("data:video/mp4;base64,ZmlsbQ==") == 1


def test_neighbours_stand_with_their_interval_where_it_is_known():
    """Older records tell of none; of features whose classes have one source there is no share."""
    found = {"neighbours": 3, "silhouette": 0.1, "v_measure": 0.2, "trustworthiness": 1}
    layers = {
        "spatial_features": {"knn": 0.5, "knn_interval": [0.25, 0.75]},
        "temporal_features": {"knn": 0.5},
        "spatio_temporal_features": {"knn": None, "knn_interval": None},
    }
    record = {"layers": {name: one | found | {"procrustes": 0} for name, one in layers.items()}}
    headings, *rows = report.feature_table(record)
    assert headings[1] == "3-NN accuracy"
    shares = ["50.0 %, 95 % interval 25.0 % to 75.0 %", "50.0 %", "-"]
    assert [row[1] for row in rows] == shares


OLDER = {"caption": "", "weights_sha256": "", "layers": {"spatial_features": {"knn": 0.5}}}
RECORDS = [
    '{"caption": 1',
    "[]",
    *(json.dumps(OLDER | {"layers": x}) for x in ([], OLDER["layers"])),
]


@pytest.mark.parametrize("content", RECORDS)
def test_a_damaged_or_older_record(drawn, tmp_path, capsys, content):
    run = shutil.copytree(drawn, tmp_path / "run")
    (run / "figures" / "tsne.json").write_text(content)
    error = error_of(capsys, report.main, FigureOptions, run)
    assert "tsne.json is damaged or older" in error
    assert f"'python -m analysis.tsne {run}' makes it anew" in error


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("name", ["report.html", "tsne.html"])
def test_a_browser_asks_for_nothing_and_complains_of_nothing(drawn, tmp_path, name):
    seen = visit(drawn / "figures" / name, tmp_path)
    assert seen.console == []
    assert seen.requests == []
    assert "<h1>" in seen.dom


@pytest.mark.slow
@needs_chromium
def test_the_browser_check_sees_requests_and_errors(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>undefinedName()</script>')
    seen = visit(page, tmp_path)
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert any("undefinedName is not defined" in line for line in seen.console)


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("name", ["report.html", "tsne.html"])
def test_pages_fit_a_phone(drawn, tmp_path, name):
    """In a frame of 360 pixels, as a window cannot be as narrow, no page scrolls sideways."""
    script = "parent.postMessage(document.documentElement.scrollWidth, '*')"
    page = with_script(drawn / "figures" / name, tmp_path / "page.html", script)
    outer = tmp_path / "outer.html"
    outer.write_text(
        '<p id="width"></p><script>onmessage = (event) => '
        '{ document.getElementById("width").textContent = event.data }</script>'
        f'<iframe src="{page.name}" style="width: 360px; border: 0"></iframe>'
    )
    width = re.search(r'<p id="width">(\d+)</p>', visit(outer, tmp_path).dom)
    assert int(width[1]) <= 360


@pytest.mark.slow
@needs_chromium
def test_pointing_at_a_video_shows_it(drawn, tmp_path):
    page = with_script(
        drawn / "figures" / "tsne.html",
        tmp_path / "page.html",
        "document.querySelectorAll('.point')[3]"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))",
    )
    dom = visit(page, tmp_path).dom
    shown = re.search(r'<div id="video"[^>]*>(.*?)</div></div>', dom, re.DOTALL)[1]
    assert '<img src="data:image/jpeg;base64,' in shown
    assert re.search(r"blue &lt;b&gt;/\d &amp; 'x'\$.avi: blue &lt;b&gt;, predicted ", shown)
    assert dom.count('class="point chosen"') == 3
