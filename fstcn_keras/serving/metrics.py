"""Counts and times what the server does, for Prometheus."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fstcn_keras.serving.limits import Limits

STAGES = {
    "read": "a request's body arrives",
    "queue": "a request waits for its turn",
    "decoder_queue": "a request waits for a decoding process",
    "decode": "a decoding process parses a request and decodes its videos",
    "network_queue": "a video waits for the network",
    "score": "the network scores a video, or a second of one",
}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_BEYOND = (1.0, 1.5, 2.0, 4.0)  # times the limit of a request


class Metrics:
    """Holds the metrics of one server, in a registry of their own.

    Example:
        >>> metrics = Metrics(Limits(), model="actions")
        >>> metrics.count_request("v1", "200")
        >>> labels = {"model": "actions", "version": "1", "protocol": "v1", "status": "200"}
        >>> metrics.registry.get_sample_value("fstcn_requests_total", labels)
        1.0

    Args:
        limits: of requests: times are told apart up to four times `seconds`.
        model: the model's name.

    Attributes:
        registry: to be read, or to be registered in another.
        version: the model's; set once it is known.
        requests_in_work: see its help.
        decoder_restarts: the same.
    """

    def __init__(self, limits: Limits, *, model: str = "") -> None:
        self.registry = CollectorRegistry()
        self.version = "1"
        self._model = model
        own = ("model", "version")
        self._requests = Counter(
            "fstcn_requests",
            "Requests answered, by protocol (v1, v2, grpc, page, metrics, other) and status "
            "(of HTTP, 408 also where a header did not come in time, 499 where the client left; "
            "or gRPC's name)",
            (*own, "protocol", "status"),
            registry=self.registry,
        )
        self._refusals = Counter(
            "fstcn_refusals",
            "Requests refused, by reason",
            (*own, "protocol", "reason"),
            registry=self.registry,
        )
        buckets = {s for s in _SECONDS if s < limits.seconds} | {
            n * limits.seconds for n in _BEYOND
        }
        self._stages = Histogram(
            "fstcn_stage_seconds",
            "Seconds in which " + "; ".join(f"{name}: {text}" for name, text in STAGES.items()),
            (*own, "stage"),
            buckets=sorted(buckets),
            registry=self.registry,
        )
        self.requests_in_work = Gauge(
            "fstcn_requests_in_work",
            "Requests that are decoded, scored or wait for it",
            registry=self.registry,
        )
        self._places = Gauge(
            "fstcn_requests_in_work_limit",
            "Requests in work beyond which others are refused",
            registry=self.registry,
        )
        self._places.set(limits.waiting)
        self.decoder_restarts = Counter(
            "fstcn_decoder_restarts",
            "Decoding processes replaced: they crashed, took too long, or were killed",
            registry=self.registry,
        )
        self._decoder_memory = Gauge(
            "fstcn_decoder_memory_bytes",
            "Resident memory of the decoding process that has most",
            registry=self.registry,
        )
        self._decoder_memory_limit = Gauge(
            "fstcn_decoder_memory_limit_bytes",
            "Memory that a decoding process may take beyond its own code",
            registry=self.registry,
        )

    def count_request(self, protocol: str, status: str) -> None:
        """Counts an answered request."""
        self._requests.labels(self._model, self.version, protocol, status).inc()

    def count_refusal(self, protocol: str, reason: str) -> None:
        """Counts a refused one."""
        self._refusals.labels(self._model, self.version, protocol, reason).inc()

    def observe(self, stage: str, seconds: float) -> None:
        """Counts how long a request was in one of `STAGES`."""
        self._stages.labels(self._model, self.version, stage).observe(seconds)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Counts how long the body of a `with` takes, however it ends."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.observe(stage, time.perf_counter() - begin)

    def watch_decoders(self, processes: Callable[[], Iterable[int]], memory: int) -> None:
        """Tells the memory of these processes whenever it is asked for.

        Args:
            processes: gives their numbers.
            memory: MiB that each may take.
        """
        self._decoder_memory.set_function(lambda: max(map(resident_bytes, processes()), default=0))
        self._decoder_memory_limit.set(memory * 2**20)


def resident_bytes(process: int) -> int:
    """Returns the resident memory of a process; 0 if it is not there, or not on Linux.

    Example:
        >>> resident_bytes(os.getpid()) >= 0
        True
    """
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
