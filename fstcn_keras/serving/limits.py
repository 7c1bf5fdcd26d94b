"""What one request may ask for, and how it is told no."""

from dataclasses import dataclass


class BadRequest(Exception):
    """A request that cannot be answered; the message says what is wrong with it: HTTP 400."""


class TooLarge(BadRequest):
    """A request beyond a limit of size: HTTP 413."""


class Overloaded(Exception):
    """The server cannot answer in time now, but may later: HTTP 503."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on every request.

    Attributes:
        request_bytes: of a request's body.
        videos: instances of one request.
        frames: frames of one video.
        pixels: height times width of a frame.
        seconds: from the arrival of a request to its answer.
        waiting: requests that are in work or wait for it; further ones are refused.
    """

    request_bytes: int = 64 * 2**20
    videos: int = 8
    frames: int = 20_000
    pixels: int = 4096 * 2304
    seconds: float = 30.0
    waiting: int = 16
