"""The page of a run: what is on it, what is not there yet, and how a browser takes it."""

import json
import re
import shutil

import pytest

from analysis import errors, kernels, report, tsne
from analysis.runs import FigureOptions
from tests.analysis.browser import needs_chromium, visit, with_script
from tests.training.test_cli import error_of
from training import cli


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
    pictures = [f for f in (drawn / "figures").iterdir() if f.suffix in (".png", ".jpg")]
    assert page.count("<img ") == len(pictures) == 10
    for picture in pictures:
        assert f"<figcaption>{picture.name}</figcaption>" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
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


def test_a_damaged_record(drawn, tmp_path, capsys):
    run = shutil.copytree(drawn, tmp_path / "run")
    (run / "figures" / "tsne.json").write_text('{"caption": 1')
    error = error_of(capsys, report.main, FigureOptions, run)
    assert "tsne.json is damaged" in error
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
