"""Bounds what one request may ask for, and tells the memory that this takes at most."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

CODE_MIB = 280  # what a decoder takes before its first request, and has taken addresses for
DECODER_MEMORY_MIB = 1536  # by default: a tensor of 64 MB of JSON takes 1100
_LEAST_DECODED = 16 * 2**20  # 50 frames, of 256 pixels on the short side, take 13 MB
PICTURES_BYTES = 4 * 2**20  # of a video on the page, which wait for a client that reads slowly
INT_MAX = 2**31 - 1  # gRPC's options are C's ints


def _limit(default: Any, meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds every request; the metadata of each field says what it bounds.

    Example:
        >>> Limits(videos=2).seconds
        30.0

    Raises:
        ValueError: if one of them is not positive and finite, or `request_bytes` is 2^31 or more.
    """

    request_bytes: int = _limit(64 * 2**20, "bytes of a request's body, below 2^31")
    videos: int = _limit(8, "videos of a request")
    frames: int = _limit(20_000, "frames of a video")
    pixels: int = _limit(4096 * 2304, "height times width of a frame")
    seconds: float = _limit(30.0, "to receive a request, and again to answer it")
    waiting: int = _limit(16, "requests at a time, waiting ones counted; others are refused")

    @property
    def decoded_bytes(self) -> int:
        """Returns how many bytes the resized frames of a request may take."""
        return max(2 * self.request_bytes, _LEAST_DECODED)

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive and finite. Received: {value}")
        if self.request_bytes > INT_MAX:
            raise ValueError(
                f"`request_bytes` must be at most {INT_MAX}. Received: {self.request_bytes}"
            )


def most_memory_mib(limits: Limits, *, decoders: int, decoder_memory: int) -> int:
    """Returns how much memory the server takes at most, beside the network, whatever is sent.

    Four times `request_bytes` for each of `waiting`: a request in work, one whose body arrives over
    HTTP, and two whose messages arrive over gRPC; and the pictures of an answer. For each decoder
    its own memory, the body on its way to it, twice, and the frames that come back, twice; and once
    more frames that wait.

    Example:
        >>> most_memory_mib(Limits(), decoders=2, decoder_memory=DECODER_MEMORY_MIB)
        8688

    Args:
        limits: of the requests.
        decoders: number of processes that decode.
        decoder_memory: MiB that each of them may take.
    """
    body, frames = limits.request_bytes, limits.decoded_bytes
    moved = limits.waiting * (4 * body + PICTURES_BYTES) + decoders * 2 * (body + frames) + frames
    return decoders * (CODE_MIB + decoder_memory) + -(-moved // 2**20)
