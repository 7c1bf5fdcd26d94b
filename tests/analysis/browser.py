"""Chromium without a window: what a page asks for, complains of, and looks like."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom"),
)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium")


@dataclass(frozen=True)
class Visit:
    """What one visit to a page gave."""

    dom: str  # after its scripts have run
    console: list[str]  # lines that it wrote, errors among them
    requests: list[str]  # addresses that it asked for, but for itself and what it holds


def visit(page: Path, folder: Path) -> Visit:
    """Opens a page of the disk; the folder is for the browser's own files."""
    log = folder / "net.json"
    result = subprocess.run(
        [PROGRAM, *FLAGS, f"--user-data-dir={folder}", f"--log-net-log={log}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    text = log.read_text().rstrip().rstrip(",")
    events = json.loads(text if text.endswith("}") else text + "]}")["events"]
    started = [event["params"] for event in events if "url" in event.get("params", {})]
    asked = {p["url"] for p in started if p.get("initiator", "not an origin") != "not an origin"}
    requests = sorted(url for url in asked if not url.startswith(("data:", page.as_uri())))
    return Visit(result.stdout, re.findall(r":CONSOLE.*", result.stderr), requests)


def with_script(page: Path, target: Path, script: str) -> Path:
    """A copy of the page that runs a script of the test at its end."""
    text = page.read_text().replace("</body>", f"<script>{script}</script></body>")
    target.write_text(text)
    return target
