"""Chromium without a window, driven by its DevTools protocol: apt-get install chromium."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

import httpx
import pytest
import websocket

from tests.processes import HANG_S

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--mute-audio"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # the webcam
)


class Browser:
    """One tab of headless Chromium, and the events of the DevTools protocol, as they came."""

    def __init__(self, profile: Path):
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("needs chromium: apt-get install chromium")
        self.events = []
        self._number = 0
        options = [*FLAGS, "--remote-debugging-port=0"]
        log = profile / "log"
        command = [program, *options, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stderr=log.open("w"))
        address = self._address(log)
        tab = httpx.put(f"http://{address}/json/new?about:blank", trust_env=False).json()
        options = {"suppress_origin": True, "timeout": HANG_S}
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
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str):
        """Until it is true in the page."""
        deadline = time.monotonic() + HANG_S
        while not self.value(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)

    def text(self, selector: str) -> str:
        """Of the first element that the selector finds."""
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector: str):
        """Clicks the first element that the selector finds."""
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def choose(self, *files: Path):
        """Chooses files as a visitor would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def visit(self, url: str):
        """Opens the page of a server."""
        self.call("Page.navigate", url=f"{url}/")
        self.wait_for(
            "document.readyState == 'complete' && !document.getElementById('classes')?.hidden"
        )

    def picture(self, name: str):
        """Keeps a picture of the page in the folder that $SCREENSHOTS names, if any."""
        if folder := os.environ.get("SCREENSHOTS"):
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(HANG_S)

    @staticmethod
    def _address(log: Path) -> str:
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            if found := re.search(r"DevTools listening on ws://([^/]+)/", log.read_text()):
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(log.read_text())


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
    assert hosts <= {url}
