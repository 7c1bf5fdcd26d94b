"""What hostile files make predict and the server open, as strace sees it: no other file."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("kserve")

from tests.processes import HANG_S, ROOT
from tests.videos import noise, write_video

CALLS = "trace=open,openat,openat2,creat,socket,connect"
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="apt-get install strace")

# lists and scripts that name another file, by the suffix that they go by
LISTS = {
    ".m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
    "-live.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n",
    "-key.m3u8": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n',
    "-hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
    ".ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    "-concat.avi": "ffconcat version 1.0\nfile '{0}'\n",
    ".mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    ".sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96"
    "\na=rtpmap:96 H264/90000\na=control:{0}\n",
    ".pls": "[playlist]\nFile1={0}\nNumberOfEntries=1\n",
    ".avs": 'AVISource("{0}")\n',
}


def hostile_files(folder: Path, secret: Path) -> list[Path]:
    """Files that name another one, in words and in boxes."""
    targets = [secret, f"../{secret.parent.name}/{secret.name}", f"file:{secret}"]
    targets += ["http://127.0.0.1:9/a.mp4"]
    files = []
    for number, target in enumerate(targets):
        for suffix, text in LISTS.items():
            files.append(folder / f"{number}{suffix}")
            files[-1].write_text(text.format(target))
        files.append(folder / f"{number}-reference.mov")
        files[-1].write_bytes(reference_movie(str(target).encode()))
        files.append(folder / f"{number}-data.mov")
        files[-1].write_bytes(data_elsewhere(folder / "plain.mov", str(target).encode()))
    (folder / "itself.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nitself.m3u8\n")
    return [*files, folder / "itself.m3u8"]


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def reference_movie(target: bytes) -> bytes:
    """A MOV that is nothing but the address of another one."""
    address = bytes(4) + b"url " + (len(target) + 1).to_bytes(4, "big") + target + b"\0"
    return box(b"moov", box(b"rmra", box(b"rmda", box(b"rdrf", address))))


def data_elsewhere(plain: Path, target: bytes) -> bytes:
    """A MOV whose table of data names another file in place of itself."""
    content = write_video(plain, noise(3, height=32, width=32), codec="mpeg4").read_bytes()
    itself = box(b"url ", b"\0\0\0\1")
    start = content.index(itself)
    other = box(b"url ", bytes(4) + target + b"\0")
    grown = len(other) - len(itself)
    content = bytearray(content[:start] + other + content[start + len(itself) :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = content.index(name) - 4
        content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + grown).to_bytes(
            4, "big"
        )
    return bytes(content)


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("secrets") / "secret.avi", noise(9))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, secret) -> list[Path]:
    files = hostile_files(tmp_path_factory.mktemp("hostile"), secret)
    assert len(files) >= 40
    return files


def opened(log: str) -> set[str]:
    """The paths of files that were opened."""
    return set(re.findall(r'\b(?:open|openat|openat2|creat)\([^"]*"([^"]*)"', log))


def check_reach(log: Path, given: list[Path], secret: Path):
    text = log.read_text()
    names = opened(text)
    assert len(names) > 0
    folders = (str(given[0].parent), str(secret.parent))
    beyond = {name for name in names if name.startswith(folders)} - {str(file) for file in given}
    assert not beyond
    assert secret.name not in text
    # what is imported before the first file looks whether there is IPv6
    reading = text[text.index(str(given[0])) :]
    assert not re.search(r"\bsocket\(AF_INET|\bconnect\(", reading)


@needs_strace
def test_predict_opens_no_other_file(run, hostile, secret, tmp_path):
    log = tmp_path / "strace"
    command = ["strace", "-f", "-qq", "-s", "400", "-e", CALLS, "-o", str(log)]
    command += [sys.executable, "-m", "training.predict", str(run), *map(str, hostile)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    refused = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert len(refused) >= len(hostile) - 4  # a MOV with data elsewhere may be read as it is
    assert opened(log.read_text()) >= {str(file) for file in hostile}
    check_reach(log, hostile, secret)


def is_traced(process: int) -> bool:
    """Whether strace is attached to all of its threads."""
    threads = Path(f"/proc/{process}/task").glob("*/status")
    return all("\nTracerPid:\t0\n" not in thread.read_text() for thread in threads)


@needs_strace
def test_the_server_opens_no_file_at_all(server, hostile, secret, video, tmp_path):
    log = tmp_path / "strace"
    traced = [server.process.pid, *(decoder.pid for decoder in server.decoders())]
    command = ["strace", "-f", "-qq", "-s", "400", "-e", CALLS, "-o", str(log)]
    command += [word for pid in traced for word in ("-p", str(pid))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        while not all(map(is_traced, traced)):
            if strace.poll() is not None:
                pytest.skip(f"strace cannot attach: {strace.stderr.read()}")
            time.sleep(0.01)
        with server.client() as client:
            kind = {"Content-Type": "video/x"}
            for file in hostile:
                path = "/v1/models/tiny run:predict"
                answer = client.post(path, content=file.read_bytes(), headers=kind)
                assert answer.status_code in (200, 400), (file.name, answer.text)
            assert client.post(path, content=video, headers=kind).status_code == 200
        strace.terminate()
    text = log.read_text()
    assert not [name for name in opened(text) if name.startswith(str(hostile[0].parent))]
    assert secret.name not in text
    assert not re.search(r"\bsocket\(AF_INET|\bconnect\(", text)
