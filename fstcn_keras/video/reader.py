"""Decodes video files to RGB frames by PyAV."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from fstcn_keras import clips
from fstcn_keras.video.orientation import Orientation
from fstcn_keras.video.streams import (
    missing_stream,
    moving_stream,
    several_streams,
    video_streams,
)

MAX_PIXELS = 8192 * 8192
MAX_SIDE = 16384

VideoFile: TypeAlias = str | os.PathLike[str] | BinaryIO


class VideoError(Exception):
    """Says in one line why a video cannot be used."""


class VideoTooLarge(VideoError):
    """Says that a video has more frames, or larger ones, than the reader takes."""


class VideoReader:
    """Decodes the frames of a video file one after another, around damaged packets.

    The frames are those of FFmpeg's best video stream, never of an attached picture, turned and
    mirrored as the file asks for; pixels are taken as square. It can be iterated more than once,
    each time from the first frame. Neither a name nor what is in a file makes it read from the
    network.

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
        containers: FFmpeg's names of the formats that are taken; empty takes all, among them
            lists of other files to open.

    Attributes:
        fps: frames per second that the container claims, or 0.
        expected_frames: number of frames that the container claims, or 0.
        decoded_frames: frames given so far.
        damaged_packets: packets that could not be decoded so far.

    Raises:
        VideoError: if the source is no readable video, or no frame of it can be decoded.
        VideoTooLarge: beyond `max_pixels` or `max_frames`, or with a side of more than `MAX_SIDE`.
    """

    def __init__(
        self,
        source: VideoFile,
        *,
        short_side: int | None = None,
        max_pixels: int = MAX_PIXELS,
        max_frames: int | None = None,
        containers: Sequence[str] = (),
    ) -> None:
        self.short_side = short_side
        self.fps = 0.0
        self.expected_frames = 0
        self.decoded_frames = 0
        self.damaged_packets = 0
        self._source = source
        self._max_pixels = max_pixels
        self._max_frames = max_frames
        self._options = {"protocol_whitelist": "file"}
        if containers:
            self._options["format_whitelist"] = ",".join(containers)
        self._stream_index: int | None = None  # not yet chosen
        self._stream_note = ""
        self._size = (0, 0)  # height, width of the first frame, kept if the stream changes it

    @property
    def incomplete(self) -> str:
        """Returns what the last reading to the end missed, in one line, or nothing."""
        # XviD's packed frames end with an empty one, which the container counts
        if self.damaged_packets or self.decoded_frames < self.expected_frames - 1:
            return (
                f"incomplete: {self.decoded_frames} of {self.expected_frames} frames decoded, "
                f"{self.damaged_packets} damaged packets"
            )
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what was chosen or assumed in the last reading, a line each."""
        return tuple(filter(None, (self._stream_note,)))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Gives `(height, width, 3)` uint8 frames in order of display, all of one size."""
        return (self._rgb(frame) for frame in self._decoded())

    def count(self) -> int:
        """Counts the frames that can be decoded; none is turned to RGB."""
        return sum(1 for _ in self._decoded())

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
        self.decoded_frames = self.damaged_packets = 0
        with self._opened() as (container, stream):
            self._check_stream(stream)
            for packet in self._packets(container, stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self.damaged_packets += 1
                    continue
                for frame in frames:
                    shown = f"frame {self.decoded_frames} has"
                    self._check_pixels(shown, frame.width, frame.height)
                    if self.decoded_frames == 0:
                        self._size = self._resized(frame)
                    if self.decoded_frames == self._max_frames:
                        raise VideoTooLarge(f"has more than {self._max_frames} frames")
                    self.decoded_frames += 1
                    yield frame
        if self.decoded_frames == 0:
            raise VideoError(f"no frame could be decoded ({self.damaged_packets} damaged packets)")

    def _open(self) -> InputContainer:
        source: str | BinaryIO
        if isinstance(self._source, str | os.PathLike):
            path = Path(self._source)
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
            return av.open(source, "r", metadata_errors="ignore", options=self._options)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"cannot be opened as a video: {_reason(error)}") from error

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
        self.fps = float(stream.average_rate or 0)
        self.expected_frames = stream.frames

    def _check_pixels(self, where: str, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise VideoTooLarge(
                f"{where} {width}x{height} pixels; at most {self._max_pixels} are read"
            )

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
        packets = container.demux(stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # the container itself is cut or damaged from here on
                self.damaged_packets += 1
                return

    def _resized(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Returns height and width, upright, of all frames if this is the first one."""
        height, width = frame.height, frame.width
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
        try:
            # on several threads a frame of this size takes longer, and twice the processor time
            image = (
                orientation.turn(frame)
                .reformat(width, height, "rgb24", interpolation=Interpolation.AREA, threads=1)
                .to_ndarray()
            )
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"frames cannot be converted to RGB: {_reason(error)}") from error
        return orientation.show(image)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
