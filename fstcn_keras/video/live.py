"""Decodes what is happening now: of a camera, of an address, or through a pipe."""

import functools
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from fstcn_keras.error_texts import reason_of
from fstcn_keras.video.reader import CONTAINERS, VideoError, VideoReader
from fstcn_keras.video.streams import missing_stream, video_streams
from fstcn_keras.video.times import ASSUMED_RATE, LEAP_BACK_S, LEAP_S

# what FFmpeg may open for an address of each scheme
PROTOCOLS = {
    "rtsp": "rtp,udp,tcp",
    "rtsps": "rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,https,tcp,tls",
    "https": "https,tcp,tls",
    "srt": "srt",
    "tcp": "tcp",
    "udp": "udp",
}
CAMERAS = {"linux": ("video4linux2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none")}
ADDRESS = re.compile(r"([a-z]+)://.+", re.IGNORECASE)
SILENCE_S = 10.0  # after which a camera or an address is given up


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """Says where live video comes from, and how FFmpeg is to open it.

    It is the only thing that opens an address: a user names it as one.

    Example:
        >>> LiveSource.parse("rtsp://camera.local/stream").reconnects
        True

    Attributes:
        name: for messages.
        file: what FFmpeg opens.
        format: name of its format or device; `None` where FFmpeg finds it out.
        options: for FFmpeg.
        reconnects: whether it is opened again when it breaks off or ends.
    """

    name: str
    file: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    reconnects: bool = True

    @classmethod
    def parse(cls, text: str) -> "LiveSource":
        """Reads what a user calls it.

        Example:
            >>> LiveSource.parse("-").file
            'pipe:0'

        Args:
            text: `-` for standard input, the number of a camera, or an address.

        Raises:
            ValueError: if it is none of these, or cameras are not known on this system.
        """
        if text == "-":
            return cls.from_pipe(0)
        if text.isdecimal():
            if sys.platform not in CAMERAS:
                raise ValueError(f"cameras cannot be opened on {sys.platform}: give an address")
            device, file = CAMERAS[sys.platform]
            return cls(name=f"camera {text}", file=file.format(int(text)), format=device)
        address = ADDRESS.fullmatch(text)
        scheme = address[1].lower() if address else ""
        if scheme not in PROTOCOLS:
            raise ValueError(
                f"must be '-' for standard input, the number of a camera, or an address that "
                f"begins with {', '.join(f'{known}://' for known in PROTOCOLS)}; got {text}"
            )
        formats = f"{CONTAINERS},rtsp" if scheme.startswith("rtsp") else CONTAINERS
        options = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": formats}
        if scheme.startswith("rtsp"):
            options["rtsp_flags"] = "prefer_tcp"  # which loses nothing and passes firewalls
        return cls(name=text, file=text, options=options)

    @classmethod
    def from_pipe(cls, descriptor: int) -> "LiveSource":
        """Returns the source that reads from an open file descriptor.

        Example:
            >>> LiveSource.from_pipe(3).reconnects
            False
        """
        options = {"protocol_whitelist": "pipe", "format_whitelist": CONTAINERS}
        name = "standard input" if descriptor == 0 else f"pipe {descriptor}"
        return cls(name=name, file=f"pipe:{descriptor}", options=options, reconnects=False)

    def open(self) -> InputContainer:
        """Opens it.

        Raises:
            VideoError: if that fails.
        """
        if self.file.startswith("/dev/") and not Path(self.file).exists():
            raise VideoError(f"{self.name} cannot be opened: there is no {self.file}")
        timeout = SILENCE_S if self.reconnects else None
        try:
            return av.open(
                self.file,
                "r",
                format=self.format,
                options=self.options,
                timeout=timeout,
                metadata_errors="ignore",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = reason_of(error)
            if not self.reconnects and isinstance(error, av.InvalidDataError):
                reason += "; MP4 cannot be sent through a pipe unless it is written with "
                reason += "'-movflags +faststart': MPEG-TS and Matroska can"
            raise VideoError(f"{self.name} cannot be opened: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class LiveFrame:
    """Holds a frame that has just come.

    Attributes:
        time_s: when it is shown, seconds from the first frame of its source.
        arrived_s: when it came, by `time.monotonic`.
        image: turns it to `(height, width, 3)` uint8 RGB, upright.
    """

    time_s: float
    arrived_s: float
    image: Callable[[], np.ndarray]


class LiveReader(VideoReader):
    """Decodes the frames of a live source as they come, as `VideoReader` does those of a file.

    Nothing is kept of a frame that has been given.

    Args:
        source: where they come from.
    """

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source.file)
        self._live = source

    def _open(self) -> InputContainer:
        return self._live.open()

    def frames(self) -> Iterator[LiveFrame]:
        """Opens the source and gives its frames until it ends or breaks off.

        Raises:
            VideoError: if it cannot be opened or holds no video.
        """
        with self._open() as container:
            streams = video_streams(container)
            if not streams:
                raise VideoError(f"{self._live.name} {missing_stream(container)}")
            self._check_stream(streams[0])
            clock = _RunningClock()
            for frame in self._frames(container, streams[0]):
                self._check_pixels("a frame has", frame.width, frame.height)
                if self._size == (0, 0):
                    self._size = self._resized(frame)
                arrived_s = time.monotonic()
                yield LiveFrame(
                    time_s=clock.time(frame.time, arrived_s),
                    arrived_s=arrived_s,
                    image=functools.partial(self._rgb, frame),
                )


class _RunningClock:
    """Tells the times of frames from the first one on, which increase whatever the source says."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._offset = 0.0

    def time(self, stamp_s: float | None, arrived_s: float) -> float:
        """Returns the time of the next frame; of one without a time, when it came counts."""
        stamp = arrived_s if stamp_s is None else stamp_s
        if self._last is None:
            self._offset, self._last = stamp, 0.0
            return 0.0
        seconds = stamp - self._offset
        if not -LEAP_BACK_S <= seconds - self._last <= LEAP_S:  # the clock was set anew
            seconds = self._last + 1 / float(ASSUMED_RATE)
            self._offset = stamp - seconds
        self._last = max(seconds, self._last + 1e-6)
        return self._last
