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
    """What one visit to a page gave.

    Attributes:
        dom: the document after its scripts have run.
        console: lines that it wrote to the console, errors among them.
        requests: addresses that it asked for, but for itself and what it holds.
    """

    dom: str
    console: list[str]
    requests: list[str]


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
    return Visit(
        dom=result.stdout,
        console=re.findall(r":CONSOLE.*", result.stderr),
        requests=sorted(
            {
                params["url"]
                for params in started
                if params.get("initiator", "not an origin") != "not an origin"
                and not params["url"].startswith(("data:", page.as_uri()))
            }
        ),
    )


def with_script(page: Path, target: Path, script: str) -> Path:
    """A copy of the page that runs a script of the test at its end."""
    text = page.read_text().replace("</body>", f"<script>{script}</script></body>")
    target.write_text(text)
    return target
