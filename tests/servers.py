"""The real server as a process of its own, for tests and benchmarks."""

import functools
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from tests.processes import HANG_S, ROOT

TENSORFLOW_LOG = re.compile(r"[IWE]\d{4} |WARNING: All log messages before absl")


def own_lines(stderr: str) -> list[str]:
    """Returns what the server says of itself: neither TensorFlow's log nor the access log."""
    lines = (line for line in stderr.splitlines() if not TENSORFLOW_LOG.match(line))
    return [line for line in lines if not line.startswith('{"time"')]


def limit_files(number: int):
    """Lets this process have so many files open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


class ServerProcess:
    """`python -m fstcn_keras.serve` on free ports; a context manager that ends it.

    The log takes what it prints on stderr. `url` is of its HTTP side. It may open so many `files`.
    """

    def __init__(self, folder: Path, *options: str, log: Path, files: int | None = None):
        self._log = log.open("w")
        ports = ("--http-port", "0", "--grpc-port", "0")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fstcn_keras.serve", str(folder), *ports, *options],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=files and functools.partial(limit_files, files),
        )
        line = self._first_line()
        found = re.search(r"(http://\S+)/ \(V1: /v1/models/(.*):predict, .* gRPC (\S+)$", line)
        if not found:
            self.stop()
            raise RuntimeError(f"no server: {line!r}, {log.read_text()!r}")
        self.url, self.name, self.grpc_address = found.groups()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_):
        self.stop()

    def client(self, **options) -> httpx.Client:
        """A client of its HTTP side."""
        return httpx.Client(base_url=self.url, timeout=HANG_S, trust_env=False, **options)

    def decoders(self) -> list[psutil.Process]:
        """Its decoding processes."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def resident_bytes(self) -> int:
        """Resident memory of it and its processes, shared pages counted in each."""
        process = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])

    def wait_for_requests(self, number: int):
        """Waits until so many requests are in work."""
        deadline = time.monotonic() + HANG_S
        with self.client() as client:
            while f"\nfstcn_requests_in_work {number:.1f}\n" not in client.get("/metrics").text:
                assert time.monotonic() < deadline, "the requests do not arrive"
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the end; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(HANG_S)
        self.process.stdout.close()
        self._log.close()
        return code

    def _first_line(self) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], HANG_S)
        return self.process.stdout.readline() if ready else ""
