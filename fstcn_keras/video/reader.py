"""Decodes video files to RGB frames by PyAV."""

import contextlib
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from fstcn_keras import clips
from fstcn_keras.error_texts import reason_of
from fstcn_keras.video.filtering import filtered
from fstcn_keras.video.orientation import Orientation
from fstcn_keras.video.streams import (
    frames_to_show,
    missing_stream,
    moving_stream,
    several_streams,
    video_streams,
)
from fstcn_keras.video.times import Clock

# FFmpeg's names of the formats that are read. None of them opens another file, as lists (HLS,
# DASH, concat) and scripts do.
CONTAINERS = (
    "asf,avi,flv,matroska,webm,mov,mp4,mpeg,mpegts,mxf,nut,ogg,rm,dv,ivf,gif,apng,webp_pipe,mjpeg,"
    "mpegvideo,m4v,h261,h263,h264,hevc,vvc,obu,vc1,yuv4mpegpipe"
)
LIST = re.compile(
    rb"(\xef\xbb\xbf)?\s*(#EXTM3U|ffconcat|<\?xml|<MPD|\[playlist\]|v=0\s)", re.IGNORECASE
)
MAX_PIXELS = 8192 * 8192
MAX_SIDE = 16384
MAX_ASPECT = 8  # of a pixel, width to height or the reverse; beyond it the ratio is damaged
SQUARE = 0.01  # pixels that are less oblong are taken as square
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")  # `Path` merges its slashes
START_BYTES = 64
NO_TICK = -(2**63)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
VideoFile: TypeAlias = str | os.PathLike[str] | BinaryIO


class VideoError(Exception):
    """Says in one line why a video cannot be used."""


class VideoTooLarge(VideoError):
    """Says that a video has more frames, or larger ones, than the reader takes."""


class VideoReader:
    """Decodes the frames of a video file one after another, around damaged packets.

    The frames are those of FFmpeg's best video stream, never of an attached picture, turned and
    mirrored as the file asks for. Where its pixels are not square, the frames are made wider or
    narrower so that they are. It can be iterated more than once, each time from the first frame.
    Neither a name nor what is in a file makes it read from the network, or from another file.

    Example:
        >>> import io
        >>> file, frame = io.BytesIO(), np.zeros((48, 64, 3), np.uint8)
        >>> with av.open(file, "w", format="avi") as video:
        ...     stream = video.add_stream("mjpeg", rate=25, width=64, height=48, pix_fmt="yuvj420p")
        ...     for _ in range(3):
        ...         video.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        ...     video.mux(stream.encode())
        >>> reader = VideoReader(file)
        >>> [frame.shape for frame in reader], reader.fps
        ([(48, 64, 3), (48, 64, 3), (48, 64, 3)], 25.0)

    Args:
        source: path, or a binary file object that can seek.
        short_side: short side to which FFmpeg resizes the frames by the mean over areas, in the
            colours of the file, pixels; `None` keeps their size.
        max_pixels: a video with larger frames is refused.
        max_frames: a video with more frames is refused; `None` takes any number.

    Attributes:
        fps: frames per second: once it is read to the end their mean, before it what the
            container claims, or 0.
        expected_frames: number of frames that the container claims, or 0; once it is read to the
            end without those that it means to be skipped.
        decoded_frames: frames given so far.
        damaged_frames: those of them that the decoder marks as damaged, wholly or in part.
        damaged_packets: packets that could not be decoded so far.

    Raises:
        VideoError: if the source is no readable video, or no frame of it can be decoded.
        VideoTooLarge: beyond `max_pixels` or `max_frames`, or with a side of more than `MAX_SIDE`.
        MemoryError: if the process may not take the memory that decoding needs.
    """

    def __init__(
        self,
        source: VideoFile,
        *,
        short_side: int | None = None,
        max_pixels: int = MAX_PIXELS,
        max_frames: int | None = None,
    ) -> None:
        self.short_side = short_side
        self.fps = 0.0
        self.expected_frames = 0
        self.decoded_frames = 0
        self.damaged_frames = 0
        self.damaged_packets = 0
        self._source = source
        self._max_pixels = max_pixels
        self._max_frames = max_frames
        self._stream_index: int | None = None  # not yet chosen
        self._stream_note = ""
        self._pixel_aspect = Fraction(1)  # width to height
        self._ticks = array("q")  # times of the frames; NO_TICK where not known
        self._last_ticks = 0  # how long the last frame is shown
        self._times: np.ndarray | None = None  # of the last reading to the end
        self._times_note = ""
        self._incomplete = ""  # the same
        self._size = (0, 0)  # height, width of the first frame, kept if the stream changes it

    @property
    def incomplete(self) -> str:
        """Returns what the last reading to the end missed, in one line, or nothing."""
        return self._incomplete

    def _missed(self) -> str:
        """Returns what this reading, now at its end, has missed, in one line, or nothing."""
        parts = []
        # XviD's packed frames end with an empty one, which the container counts
        if self.damaged_packets or self.decoded_frames < self.expected_frames - 1:
            claimed = f" of {self.expected_frames}" if self.expected_frames else ""
            decoded = _counted(self.decoded_frames, "frame", before=claimed)
            packets = _counted(self.damaged_packets, "damaged packet")
            parts.append(f"{decoded} decoded, {packets}")
        if self.damaged_frames:
            parts.append(
                f"{self.damaged_frames} of {_counted(self.decoded_frames, 'frame')} damaged"
            )
        return f"incomplete: {', '.join(parts)}" if parts else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what was chosen or assumed in the last reading, a line each."""
        return tuple(filter(None, (self._stream_note, self._times_note)))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Gives `(height, width, 3)` uint8 frames in order of display, all of one size."""
        return (self._rgb(frame) for frame in self._decoded())

    def count(self) -> int:
        """Counts the frames that can be decoded; none is turned to RGB."""
        return sum(1 for _ in self._decoded())

    def times(self) -> np.ndarray:
        """Returns when each frame is shown and when the last one ends, seconds from the first.

        They are the frames' own times; where these are missing or damaged, those of a constant
        rate, and `notes` says so. All frames are counted first if they have not been.

        Returns:
            float64 `(T + 1,)`.
        """
        if self._times is None:
            self.count()
        assert self._times is not None
        return self._times

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, which must increase, and turns no others to RGB."""
        wanted = iter(numbers)
        number = next(wanted, None)
        for decoded, frame in enumerate(self._decoded()):
            if decoded == number:
                yield self._rgb(frame)
                number = next(wanted, None)
            if number is None:
                return
        raise VideoError(f"has changed while it was read: no frame {number} any more")

    def _decoded(self) -> Iterator[av.VideoFrame]:
        self.decoded_frames = self.damaged_frames = self.damaged_packets = 0
        self._ticks = array("q")
        with self._opened() as (container, stream):
            self._check_stream(stream)
            for frame in self._frames(container, stream):
                shown = f"frame {self.decoded_frames} has"
                self._check_pixels(shown, frame.width, frame.height)
                if self.decoded_frames == 0:
                    self._size = self._resized(frame)
                if self.decoded_frames == self._max_frames:
                    raise VideoTooLarge(f"has more than {self._max_frames} frames")
                self.decoded_frames += 1
                self.damaged_frames += frame.is_corrupt
                self._ticks.append(NO_TICK if frame.pts is None else frame.pts)
                self._last_ticks = frame.duration
                yield frame
            if self.decoded_frames == 0:
                if _is_animated_webp(self._start()):
                    raise VideoError(
                        "is an animated WebP picture, which FFmpeg cannot decode: convert it to "
                        "GIF or MP4"
                    )
                packets = _counted(self.damaged_packets, "damaged packet")
                raise VideoError(f"no frame could be decoded ({packets})")
            self._conclude(container, stream)

    def _conclude(self, container: InputContainer, stream: VideoStream) -> None:
        """Takes down what is known once all frames are read."""
        if self.decoded_frames < self.expected_frames:
            self.expected_frames = frames_to_show(container, stream)
        self._incomplete = self._missed()
        clock = Clock.of(container, stream)
        ticks = [None if tick == NO_TICK else tick for tick in self._ticks]
        self._times, self._times_note = clock.times(ticks, last=self._last_ticks)
        self.fps = clock.mean_rate(self._times)

    def _open(self) -> InputContainer:
        source: str | BinaryIO
        if isinstance(self._source, str | os.PathLike):
            path = Path(self._source)
            if (address := ADDRESS.match(os.fsdecode(path))) and not path.exists():
                address_text = f"{address[1]}://{address[2]}"
                raise VideoError(f"is the address {address_text}, no file: download it first")
            if path.is_dir():
                raise VideoError("is a folder, not a video file")
            if path.exists() and not path.is_file():
                raise VideoError("is not a regular file")  # a pipe would be waited for without end
            source = f"file:{os.fspath(self._source)}"  # whatever the name looks like, no address
        else:
            source = self._source
            source.seek(0)
        try:
            # metadata that is not UTF-8 must not stop a video that is otherwise fine
            return av.open(source, "r", metadata_errors="ignore", options=_OPTIONS)
        except av.error.MemoryError:  # of FFmpeg's errors the one that is not the file's
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            start = self._start()
            if not start:
                raise VideoError("is empty") from error
            reason = reason_of(error)
            if LIST.match(start):
                reason = "it is a list of other files, which are not opened"
            elif isinstance(error, av.ArgumentError):  # so FFmpeg says it of the whitelist
                reason = f"it is damaged, or of a format that is not read ({reason})"
            raise VideoError(f"cannot be opened as a video: {reason}") from error

    def _start(self) -> bytes:
        """Returns the first bytes of the file, something if it cannot be read."""
        if not isinstance(self._source, str | os.PathLike):
            self._source.seek(0)
            return self._source.read(START_BYTES)
        try:
            with open(self._source, "rb") as file:
                return file.read(START_BYTES)
        except OSError:
            return b"?"

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Opens the container at its beginning, and chooses the stream when it is first opened."""
        if self._stream_index is None:
            with self._open() as container:
                streams = video_streams(container)
                if not streams:
                    raise VideoError(missing_stream(container))
                if len(streams) == 1:
                    self._stream_index = streams[0].index
                    yield container, streams[0]
                    return
                self._stream_index = moving_stream(container, streams)
                self._stream_note = several_streams(streams, self._stream_index)
        with self._open() as container:
            for stream in container.streams.video:
                if stream.index == self._stream_index:
                    yield container, stream
                    return
        raise VideoError(f"has changed while it was read: no stream {self._stream_index} any more")

    def _check_stream(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._check_pixels("claims", context.width, context.height)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        self.expected_frames = stream.frames
        aspect = stream.sample_aspect_ratio or Fraction(1)
        is_meant = 1 / MAX_ASPECT <= aspect <= MAX_ASPECT and abs(aspect - 1) > SQUARE
        self._pixel_aspect = aspect if is_meant else Fraction(1)

    def _check_pixels(self, where: str, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise VideoTooLarge(
                f"{where} {width}x{height} pixels; at most {self._max_pixels} are read"
            )

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        packets = container.demux(stream)
        # AVI has times of decoding alone; FFmpeg makes those of the next packet times of showing
        are_shown_when_decoded = (
            container.format.name == "avi" and not stream.codec_context.has_b_frames
        )
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:  # the container is cut or damaged from here on
                self._count_damage(error, stream)
                packet = None
            if packet is not None and packet.size == 0:
                continue  # skipped by intent; FFmpeg's decoders would take it for the end
            if packet is not None and are_shown_when_decoded:
                packet.pts = packet.dts
            try:
                yield from stream.decode(packet)
            except av.error.BlockingIOError as error:  # so FFmpeg says it of its threads
                raise MemoryError from error
            except av.FFmpegError as error:
                self._count_damage(error, stream)
            if packet is None:
                return

    def _count_damage(self, error: av.FFmpegError, stream: VideoStream) -> None:
        """Counts a packet as damaged, if memory for it was there."""
        if isinstance(error, av.error.MemoryError):
            raise error
        # H.264 calls a packet damaged also when it finds no memory for a frame, which is less
        context = stream.codec_context
        np.empty(8 * min(context.width * context.height, self._max_pixels), np.uint8)
        self.damaged_packets += 1

    def _resized(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Returns height and width, upright, of all frames if this is the first one."""
        height, width = frame.height, max(1, round(frame.width * self._pixel_aspect))
        if self.short_side is not None:
            shorter = min(height, width)
            height, width = (
                clips.resized_length(side, shorter, self.short_side) for side in (height, width)
            )
        if max(height, width) > MAX_SIDE or height * width > self._max_pixels:
            raise VideoTooLarge(
                f"{frame.width}x{frame.height} pixels would become {width}x{height}; "
                f"at most {MAX_SIDE} a side are read"
            )
        return (width, height) if Orientation.of(frame).transposed else (height, width)

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        orientation = Orientation.of(frame)
        height, width = reversed(self._size) if orientation.transposed else self._size
        is_resized = (height, width) != (frame.height, frame.width)
        how = Interpolation.AREA if is_resized else Interpolation.BICUBIC  # of colours alone
        try:
            # on several threads a frame of this size takes longer, and twice the processor time
            image = (
                orientation.turn(frame if is_resized else _without_place_of_colours(frame))
                .reformat(width, height, "rgb24", interpolation=how, threads=1)
                .to_ndarray()
            )
        except av.error.MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"frames cannot be converted to RGB: {reason_of(error)}") from error
        return orientation.show(image)


def _without_place_of_colours(frame: av.VideoFrame) -> av.VideoFrame:
    """Takes off where colours of half resolution lie between the pixels of a file.

    FFmpeg 5 does not heed it, nor does FFmpeg 8 in the usual 4:2:0 of eight bits.
    """
    pixels = frame.format
    is_halved = pixels.chroma_width(frame.width) < frame.width
    if not is_halved or pixels.name in ("yuv420p", "yuvj420p"):
        return frame
    return filtered(frame, "setparams", "chroma_location=unspecified")


def _is_animated_webp(start: bytes) -> bool:
    return start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X" and bool(start[20] & 2)


def _counted(number: int, name: str, *, before: str = "") -> str:
    return f"{number}{before} {name}{'' if number == 1 and not before else 's'}"
