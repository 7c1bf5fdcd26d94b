"""The README and the pages in docs/: commands run or say why not, and what they name is there.

A fenced block without a language holds commands, one in `python` code, one in `text` output. A
block below a comment `<!-- not run: REASON -->` is checked but not run. The others run in a
folder with a short run on the demo, `runs/demo-split3-small`, and a few small videos.
"""

import configparser
import contextlib
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT
from tests.servers import ServerProcess
from tests.videos import noise, write_video
from training import console

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BENCHMARKS = ROOT / "benchmarks" / "README.md"  # whose commands are checked, none is run
LINKED = [*PAGES, BENCHMARKS]
MAX_WORDS = 900
LANGUAGES = ("", "python", "text")

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run:((?:(?!-->).)*)-->\n+\Z", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FILE = re.compile(r"`((?:analysis|benchmarks|deploy|docs|fstcn_keras|tests|training)/[\w./-]*)`")
NAME = re.compile(r"`((?:analysis|benchmarks|fstcn_keras|training)(?:\.\w+)+)[`(]")

ENDS = ("&&", "||", ";", "|")
PROGRAMS = {
    "pip",
    "pytest",
    "ruff",
    "mypy",
    ".",
    "docker",
    "kubectl",
    "curl",
    "ffmpeg",
    "ray",
    "python",
}  # of others
OTHER_MODULES = {"pytest", "venv"}
SERVER = "http://127.0.0.1:8080"
TIMEOUT_S = 900
QUICK = ("--epochs", "1", "--batch-size", "8", "--precision", "float32")
QUICK_FIT = (*QUICK, "--warmup-epochs", "0", "--num-clips", "1")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its fence
    language: str  # what stands after the fence
    text: str
    reason: str | None  # why it is not run

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text, blocks = page.read_text(encoding="utf-8"), []
    for fence in FENCE.finditer(text):
        mark = MARK.search(text[: fence.start()])
        line = text.count("\n", 0, fence.start()) + 1
        reason = mark and " ".join(mark[1].split())
        blocks.append(Block(page, line, fence[1].strip(), fence[2], reason))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of_notebook(page: Path) -> Block:
    """The lines of a notebook that a shell runs."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    code = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    commands = [line[1:].strip() for line in code if line.startswith("!")]
    text = "\n".join(commands).replace("{python}", "python")
    return Block(page, 1, "", text, "runs in its notebook")


SHELL = [block for block in [*BLOCKS, *blocks_of(BENCHMARKS)] if block.language == ""]
SHELL += [commands_of_notebook(page) for page in sorted((ROOT / "docs").glob("*.ipynb"))]


def commands_of(block: Block) -> Iterator[list[str]]:
    """The simple commands of a block as words, without variables set before them."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command = []
        for word in [*shlex.split(line, comments=True), ENDS[0]]:
            if word in ENDS:
                if command:
                    yield command
                command = []
            elif command or not re.match(r"[A-Z_]+=", word):
                command.append(word)


def module_and_arguments(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """The module and the arguments of `python -m MODULE ARGUMENTS`."""
    if Path(command[0]).name.startswith("python") and command[1:2] == ["-m"]:
        return command[2], list(command[3:])
    return None


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MAX_WORDS


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text(encoding="utf-8")
    blocks = [block for block in BLOCKS if block.page == page]
    assert text.count("```") == 2 * len(blocks)
    reasons = [block.reason for block in blocks if block.reason is not None]
    assert len(re.findall("^<!-- not run", text, re.MULTILINE)) == len(reasons)
    for block in blocks:
        assert block.language in LANGUAGES, f"{block}: unknown language {block.language!r}"
        assert block.reason is None or len(block.reason) > 10, f"{block}: no reason"
        if block.language == "python":
            compile(block.text, str(block), "exec")
        if block.language == "" and block.reason is None:
            for command in commands_of(block):
                runs = module_and_arguments(command) or command[0] in ("fstcn", "curl")
                assert runs, f"{block}: the tests cannot run {shlex.join(command)}"


@pytest.fixture
def untouched(monkeypatch):
    """Keeps what a command sets up for its process out of the tests."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield monkeypatch
    for number, handler in handlers.items():
        signal.signal(number, handler)


def exit_code_of(module: str | None) -> int | None:
    """That of the module as a command, or without one that of `fstcn`."""
    try:
        if module is None:
            console.main()
        else:
            runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    return None


def help_of(module: str | None, arguments: list[str], monkeypatch) -> str:
    """What a command prints for its arguments and `--help`, which ends it before it works."""
    if "--config" in arguments:  # the file is not there
        at = arguments.index("--config")
        arguments = arguments[:at] + arguments[at + 2 :]
    monkeypatch.setattr(sys, "argv", [module or "fstcn", *arguments, "--help"])
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = exit_code_of(module)
    assert code == 0, f"{module} {shlex.join(arguments)}: {errors.getvalue()}"
    return output.getvalue()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package")
@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_exist_and_take_their_arguments(block, untouched):
    for command in commands_of(block):
        module, arguments = module_and_arguments(command) or (None, command[1:])
        if module in OTHER_MODULES:
            continue
        if module is None and command[0] != "fstcn":
            assert command[0].rpartition("/")[2] in PROGRAMS, f"{block}: {command[0]} is not known"
            continue
        if not arguments:  # some of the benchmarks take none, and have no help
            assert importlib.util.find_spec(module), f"{block}: there is no {module}"
            continue
        text = help_of(module, arguments, untouched)
        for word in arguments:
            if word.startswith("--"):
                flag = re.escape(word.partition("=")[0])
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", text), f"{block}: no {word}"


def test_extras_are_those_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pages = "".join(page.read_text(encoding="utf-8") for page in LINKED)
    named = {name for names in re.findall(r"\.\[([\w,-]+)\]", pages) for name in names.split(",")}
    assert named == set(setup["options.extras_require"])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    plain = (re.sub(r"[^\w\s-]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", LINKED, ids=relative)
def test_links_lead_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{relative(page)}: {target}"
        assert not anchor or anchor in anchors(file), f"{relative(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_files_and_names_of_the_code_are_there(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for name in FILE.findall(text):
        assert (ROOT / name).exists(), f"{relative(page)}: {name}"
    for name in NAME.findall(text):
        pkgutil.resolve_name(name)


def quickly(module: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a command, those of a training with what keeps it short."""
    if module == "training.fit" or set(arguments) & {"table1", "table2"}:
        return (*arguments, *QUICK_FIT)
    return (*arguments, *QUICK) if module == "training.pretrain" else tuple(arguments)


class Workplace:
    """An empty folder in which the commands of the pages run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._url = SERVER
        self._environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def run(self, command: Sequence[str], *, where: str):
        """Runs a command and fails with its output unless it ends well."""
        where_and_how = {"cwd": self.folder, "env": self._environment, "timeout": TIMEOUT_S}
        done = subprocess.run(command, capture_output=True, text=True, **where_and_how)
        output = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert done.returncode == 0, f"{where}: {shlex.join(command)}\n{output}"

    def run_module(self, module: str, arguments: Sequence[str], *, where: str):
        """Runs `python -m MODULE ARGUMENTS`, trainings for one epoch."""
        self.run([sys.executable, "-m", module, *quickly(module, arguments)], where=where)

    def run_page(self, page: Path):
        """Runs the commands of a page one after another, and then its code as one script."""
        blocks = [block for block in BLOCKS if block.page == page and block.reason is None]
        with contextlib.ExitStack() as servers:
            for block in blocks:
                if block.language == "":
                    for command in commands_of(block):
                        self._run_command(command, servers, where=str(block))
        if code := "\n".join(block.text for block in blocks if block.language == "python"):
            self.run([sys.executable, "-c", code], where=relative(page))

    def _run_command(self, command: list[str], servers: contextlib.ExitStack, *, where: str):
        """Runs one command; a server goes on until the stack ends, and gets the requests."""
        module, arguments = module_and_arguments(command) or (None, command[1:])
        if module == "fstcn_keras.serve":
            log = self.folder / "serve.log"
            server = ServerProcess(self.folder / arguments[0], *arguments[1:], log=log)
            self._url = servers.enter_context(server).url
        elif module:
            self.run_module(module, arguments, where=where)
        elif command[0] == "curl":
            words = [word.replace(SERVER, self._url) for word in arguments]
            self.run(["curl", "-sS", "--fail", *words], where=where)
        else:
            self.run_module("training.console", arguments, where=where)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Workplace:
    """With the runs, the videos and the folder of videos that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    for number, name in enumerate(("video.mp4", "other.mp4")):
        write_video(folder / name, noise(60, seed=number), codec="mpeg4")
    for number in range(12):
        frames = noise(12 + number, height=60, width=80, seed=number) // 4
        frames[..., number % 2] += np.uint8(150)
        name = f"{('red', 'green')[number % 2]}/{number}.mp4"
        write_video(folder / "my-videos" / name, frames, codec="mpeg4")
    place = Workplace(folder)
    for paths in ((), ("--paths", "spatial")):
        place.run_module("training.fit", ["--split", "3", *paths], where="the runs of the pages")
    return place


WITH_COMMANDS = [
    page
    for page in PAGES
    if any(b.page == page and b.language != "text" and b.reason is None for b in BLOCKS)
]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages' requests need curl")
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=relative)
def test_the_commands_of_a_page_run(page, workplace):
    workplace.run_page(page)
