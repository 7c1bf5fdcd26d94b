"""The page at `/` in a real browser.

apt-get install chromium; pytest -m slow tests/fstcn_keras/serving/test_page.py
"""

import json
import shutil
import subprocess
import tarfile

import pytest

pytest.importorskip("kserve")
pytest.importorskip("websocket")

from fstcn_keras.rejection import NONE
from tests.bad_videos import truncated
from tests.fstcn_keras.serving.browser import Browser, assert_quiet
from tests.videos import noise, write_video

pytestmark = pytest.mark.slow
AXE = "axe-core@4.14.1"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
DESK = {"width": 1200, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
FOUND = "document.querySelector('.result:last-child .scores')?.hidden === false"
DONE = "document.querySelector('.result:last-child .work')?.hidden === true"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(tab, server):
    tab.call("Emulation.setDeviceMetricsOverride", **DESK)
    tab.visit(server.url)
    server.wait_for_requests(0)  # what the test before left in work
    tab.events.clear()
    yield tab
    assert_quiet(tab, server.url)


@pytest.fixture(scope="module")
def wave(tmp_path_factory):
    """Two seconds and a half that browsers play."""
    file = tmp_path_factory.mktemp("videos") / "wave.mp4"
    return write_video(file, noise(63, height=120, width=160), codec="libx264")


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """axe-core, which finds what keeps people from using a page."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, to fetch axe-core")
    packed = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"npm cannot fetch {AXE}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def test_a_visitor_chooses_a_video_and_sees_what_is_found(browser, server, classifier, wave):
    expected = classifier.predict_video(wave)
    for name, screen in {"desk": DESK, "phone": PHONE}.items():
        browser.call("Emulation.setDeviceMetricsOverride", **screen)
        browser.visit(server.url)
        browser.choose(wave)
        browser.wait_for(DONE)
        assert browser.text(".error") == ""
        assert browser.text(".best") == (NONE if expected.rejected else expected.classes[0])
        names = browser.value(
            "[...document.querySelectorAll('.bars .name')].map(x => x.textContent)"
        )
        assert tuple(names) == expected.classes
        widths = browser.value(
            "[...document.querySelectorAll('.bar')].map(x => x.getBoundingClientRect().width / "
            "x.parentElement.getBoundingClientRect().width)"
        )
        assert widths == pytest.approx(expected.scores.tolist(), abs=0.01)
        sci = browser.value("[...document.querySelectorAll('.grid span')].map(x => +x.textContent)")
        assert sci == pytest.approx(expected.sci.ravel().tolist(), abs=0.006)
        assert "63 frames, 2.5 s" in browser.text(".sent")
        moments = list(classifier.timeline(wave))
        titles = browser.value("[...document.querySelectorAll('.timeline > *')].map(x => x.title)")
        assert len(titles) == len(moments) == 3
        for title, moment in zip(titles, moments, strict=True):
            assert f"s: {moment.classes[0]} {moment.scores[0]:.2f}" in title
        browser.wait_for("!document.querySelector('.player video').hidden")
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
        browser.picture(name)


def test_the_model_is_told_at_a_glance(browser, classifier):
    assert browser.text("#model") == "tiny run"
    expected = "(version 1) knows 4 classes and looks at 2 clips of a video."
    assert browser.text("#glance") == expected
    chips = browser.value("[...document.querySelectorAll('.chips li')].map(x => x.textContent)")
    assert tuple(chips) == classifier.classes
    assert "3.8 MiB and 90 frames each" in browser.text("#limits")


def test_frames_of_a_video_that_browsers_do_not_play_come_from_the_server(browser, tmp_path):
    browser.choose(write_video(tmp_path / "x.avi", noise(35)))
    browser.wait_for(DONE)
    assert browser.value("document.querySelector('.player video').hidden")
    shown = "document.querySelector('.player img')"
    browser.wait_for(f"{shown}.naturalWidth > 0 && !{shown}.hidden")
    first = browser.value(f"{shown}.src")
    browser.value("document.querySelector('.timeline').lastElementChild.click()")
    assert browser.value(f"{shown}.src") != first
    assert browser.text(".player output") == "1.0 of 1.4 s"
    browser.click(".play")
    browser.wait_for("document.querySelector('.player output').textContent != '1.0 of 1.4 s'")
    browser.picture("avi")


def test_several_files_and_the_same_again(browser, tmp_path):
    first, second = (write_video(tmp_path / f"{n}.avi", noise(9)) for n in ("first", "second"))
    browser.choose(first, second)
    browser.choose(first)
    browser.wait_for(f"document.querySelectorAll('.result').length == 3 && {DONE}")
    names = browser.value("[...document.querySelectorAll('.file')].map(x => x.textContent)")
    assert names == ["first.avi", "second.avi", "first.avi"]
    assert browser.value("[...document.querySelectorAll('.scores')].every(x => !x.hidden)")


def test_what_is_too_large_is_not_sent(browser, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(4_000_001))
    browser.choose(large)
    browser.wait_for("document.getElementById('refused').textContent != ''")
    told = "large.mp4 is 3.8 MiB: the server takes up to 3.8 MiB."
    assert browser.text("#refused") == told
    assert browser.value("document.querySelector('.result') === null")


def test_cancelled_and_sent_again(browser, server, tmp_path):
    decoders = server.decoders()
    for decoder in decoders:
        decoder.suspend()
    try:
        browser.choose(write_video(tmp_path / "x.avi", noise(9)))
        server.wait_for_requests(1)
        browser.wait_for("document.querySelector('.state').textContent === 'Decoding ...'")
        browser.click(".cancel")
    finally:  # the tests that follow need them
        for decoder in decoders:
            decoder.resume()
    browser.wait_for(DONE)
    assert browser.text(".error") == "Cancelled."
    server.wait_for_requests(0)
    browser.click(".again")
    browser.wait_for(FOUND)
    assert browser.value("document.querySelectorAll('.result').length") == 1


def test_a_video_that_decodes_in_part(browser, classifier, tmp_path):
    video = truncated(tmp_path / "cut.avi")
    browser.choose(video)
    browser.wait_for(DONE)
    assert browser.text(".error") == ""
    assert browser.text(".incomplete") == classifier.predict_video(video).incomplete != ""


def test_where_the_network_looks(browser, tmp_path):
    browser.choose(write_video(tmp_path / "x.avi", noise(9)))
    browser.wait_for(DONE)
    browser.value("document.querySelector('.saliency').open = true")
    browser.click(".explain")
    browser.wait_for("!document.querySelector('.saliency canvas').hidden")
    assert browser.value("document.querySelector('.saliency canvas').width") > 60
    browser.picture("saliency")


def test_examples_of_the_run(browser):
    assert browser.text(".example") == "Example: run"
    browser.click(".example")
    browser.wait_for(DONE)
    assert browser.text(".file") == "example run.mp4"
    assert browser.value(FOUND)


def test_the_webcam(browser):
    browser.click("#webcam")
    browser.wait_for("!document.getElementById('camera').hidden")
    browser.click("#camera-cancel")
    browser.wait_for("document.getElementById('camera').hidden")
    assert browser.value("document.querySelector('.result') === null")
    browser.click("#webcam")
    browser.wait_for("document.getElementById('camera-state').textContent != ''")
    browser.wait_for(f"document.querySelector('.result') && {DONE}")
    assert browser.text(".error") == ""
    assert browser.text(".file") == "webcam.webm"
    assert browser.value("document.getElementById('camera').hidden")


def test_the_answer_as_json(browser, classifier, wave):
    browser.value("navigator.clipboard.writeText = async (text) => { copied = text; }")
    browser.choose(wave)
    browser.wait_for(DONE)
    browser.click(".copy")
    browser.wait_for("document.querySelector('.copied').textContent == 'Copied.'")
    copied = json.loads(browser.value("copied"))
    assert tuple(copied["classes"]) == classifier.predict_video(wave).classes
    assert (copied["file"], len(copied["seconds"])) == ("wave.mp4", 3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_keyboard_and_screen_reader(browser, server, axe, wave, tmp_path, scheme):
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=media)
    browser.call("Page.setBypassCSP", enabled=True)  # for axe itself
    browser.visit(server.url)
    browser.choose(wave, write_video(tmp_path / "x.avi", noise(35)))
    browser.wait_for(f"document.querySelectorAll('.result').length == 2 && {DONE}")
    browser.value("document.querySelectorAll('details').forEach(x => x.open = true)")
    browser.click(".explain")
    browser.wait_for("!document.querySelector('.saliency canvas').hidden")
    browser.value(axe)
    found = browser.value("axe.run().then(x => JSON.stringify([x.violations, x.incomplete]))")
    violations, _ = json.loads(found)
    assert [(one["id"], [n["html"] for n in one["nodes"]]) for one in violations] == []
    browser.picture(scheme)
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.call("Page.setBypassCSP", enabled=False)


def test_a_file_that_is_no_video(tab, server, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    tab.visit(server.url)
    tab.choose(text)
    tab.wait_for(DONE)
    assert tab.text(".error").startswith("This cannot be scored: the video: cannot be opened")
    tab.picture("error")
