"""The page at `/` in a real browser, driven by Chromium's DevTools protocol.

apt-get install chromium; pytest -m slow tests/fstcn_keras/serving/test_page.py
"""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

pytest.importorskip("kserve")
pytest.importorskip("websocket")

import httpx
import websocket

from tests.bad_videos import truncated
from tests.videos import noise, write_video

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
DESK = {"width": 1200, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
TIME_LIMIT_S = 120


class Browser:
    """One tab of headless Chromium, and the events of the DevTools protocol, as they came."""

    def __init__(self, profile: Path):
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("needs chromium: apt-get install chromium")
        self.events = []
        self._number = 0
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        log = profile / "log"
        command = [program, *options, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stderr=log.open("w"))
        address = self._address(log)
        tab = httpx.put(f"http://{address}/json/new?about:blank", trust_env=False).json()
        options = {"suppress_origin": True, "timeout": TIME_LIMIT_S}
        self._socket = websocket.create_connection(tab["webSocketDebuggerUrl"], **options)
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """What the browser answers."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(call))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def value(self, expression: str):
        """Of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def wait_for(self, expression: str):
        """Until it is true in the page."""
        deadline = time.monotonic() + TIME_LIMIT_S
        while not self.value(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def choose(self, file: Path):
        """Chooses a file as a visitor would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def visit(self, url: str):
        """Opens the page of a server."""
        self.call("Page.navigate", url=f"{url}/")
        self.wait_for("document.readyState == 'complete' && !!document.getElementById('file')")

    def picture(self, name: str):
        """Keeps a picture of the page in the folder that $SCREENSHOTS names, if any."""
        if folder := os.environ.get("SCREENSHOTS"):
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(TIME_LIMIT_S)

    @staticmethod
    def _address(log: Path) -> str:
        deadline = time.monotonic() + TIME_LIMIT_S
        while time.monotonic() < deadline:
            if found := re.search(r"DevTools listening on ws://([^/]+)/", log.read_text()):
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(log.read_text())


@pytest.fixture
def browser(tmp_path):
    profile = tmp_path / "profile"
    profile.mkdir()
    browser = Browser(profile)
    yield browser
    browser.close()


def test_a_visitor_chooses_a_video_and_sees_the_bars(browser, server, classifier, tmp_path):
    frames = noise(35, height=120, width=160)
    video = write_video(tmp_path / "wave.mp4", frames, codec="libx264")
    expected = classifier.predict_video(video)
    for name, screen in {"desk": DESK, "phone": PHONE}.items():
        browser.call("Emulation.setDeviceMetricsOverride", **screen)
        browser.visit(server.url)
        browser.choose(video)
        browser.wait_for("!document.getElementById('request').hidden")
        assert browser.value("document.getElementById('best').textContent") == expected.classes[0]
        names = browser.value("[...document.querySelectorAll('.name')].map(x => x.textContent)")
        assert tuple(names) == expected.classes
        widths = browser.value(
            "[...document.querySelectorAll('.bar')].map(x => x.getBoundingClientRect().width / "
            "x.parentElement.getBoundingClientRect().width)"
        )
        assert widths == pytest.approx(expected.scores.tolist(), abs=0.01)
        sci = browser.value("[...document.querySelectorAll('.grid span')].map(x => +x.textContent)")
        assert sci == pytest.approx(expected.sci.ravel().tolist(), abs=0.006)
        assert "wave.mp4" in browser.value("document.getElementById('sent').textContent")
        assert "35 frames" in browser.value("document.getElementById('sent').textContent")
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
        browser.wait_for("!document.getElementById('preview').hidden")
        browser.picture(name)
    assert_quiet(browser, server.url)


def test_a_video_chosen_meanwhile_takes_the_place_of_the_first(browser, server, tmp_path):
    first, second = (write_video(tmp_path / f"{n}.avi", noise(9)) for n in ("first", "second"))
    browser.visit(server.url)
    browser.value(
        "shown = []; new MutationObserver(() => shown.push(document.getElementById('sent')."
        "textContent)).observe(document.getElementById('sent'), {childList: true})"
    )
    decoders = server.decoders()
    for decoder in decoders:
        decoder.suspend()
    browser.choose(first)
    server.wait_for_requests(1)
    browser.choose(second)
    for decoder in decoders:
        decoder.resume()
    browser.wait_for("document.getElementById('state').textContent == 'second.avi'")
    server.wait_for_requests(0)
    (shown,) = browser.value("shown")
    assert shown.startswith("second.avi")
    assert browser.value("document.getElementById('error').hidden")
    assert_quiet(browser, server.url)


def test_a_video_that_decodes_in_part(browser, server, classifier, tmp_path):
    video = truncated(tmp_path / "cut.avi")
    browser.visit(server.url)
    browser.choose(video)
    browser.wait_for("!document.getElementById('request').hidden")
    told = browser.value("document.getElementById('incomplete').textContent")
    assert told == classifier.predict_video(video).incomplete != ""
    browser.picture("incomplete")


def test_a_file_that_is_no_video(browser, server, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    browser.visit(server.url)
    browser.choose(text)
    browser.wait_for("!document.getElementById('error').hidden")
    assert "cannot be opened" in browser.value("document.getElementById('error').textContent")
    browser.picture("error")


def assert_quiet(browser: Browser, url: str):
    """No error in the console, and nothing asked of any other host."""
    asked = []
    for event in browser.events:
        method, given = event["method"], event["params"]
        assert method != "Runtime.exceptionThrown", given
        assert method != "Log.entryAdded" or given["entry"]["level"] != "error", given
        assert method != "Runtime.consoleAPICalled" or given["type"] != "error", given
        if method == "Network.requestWillBeSent":
            asked.append(urllib.parse.urlsplit(given["request"]["url"]))
    hosts = {f"{one.scheme}://{one.netloc}" for one in asked if one.scheme not in ("data", "blob")}
    assert hosts == {url}
