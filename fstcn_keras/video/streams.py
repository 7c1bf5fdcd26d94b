"""Chooses the stream of a media file that is its video."""

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
FOR_FEW = Disposition.hearing_impaired | Disposition.visual_impaired


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Returns the streams that may be the video, FFmpeg's best one first.

    Cover art and other attached pictures are none, wherever they stand and whatever else they
    are flagged as. Those behind the best one are in the order of FFmpeg's criteria that a
    container tells: default streams first, then the larger ones.

    Args:
        container: open for reading.

    Returns:
        Streams that can be decoded; empty if there is none, see `missing_stream`.
    """
    best = container.streams.best("video")

    def rank(stream: VideoStream) -> tuple[bool, int, int]:
        flags = stream.disposition
        preference = bool(flags & Disposition.default) - bool(flags & FOR_FEW)
        context = stream.codec_context
        return stream is best, preference, context.width * context.height

    usable = [stream for stream in _pictures_left_out(container) if stream.codec_context]
    return sorted(usable, key=rank, reverse=True)


def missing_stream(container: InputContainer) -> str:
    """Says in one line why `video_streams` found none."""
    if _pictures_left_out(container):
        return "its video codec is not supported"
    if container.streams.video:
        return "holds no video stream, only an attached picture"
    return "holds no video stream"


def moving_stream(container: InputContainer, streams: list[VideoStream]) -> int:
    """Reads on until it is known which stream comes first of those with more than one packet.

    Some writers keep cover art as a track like any other.

    Args:
        container: open for reading; afterwards it is somewhere behind its beginning.
        streams: of `video_streams`, not empty.

    Returns:
        The index of the stream in the container; of the first one if none has two packets.
    """
    packets = dict.fromkeys((stream.index for stream in streams), 0)
    try:
        for packet in container.demux(streams):
            packets[packet.stream_index] += packet.size > 0
            if packets[streams[0].index] > 1:
                break
    except av.error.MemoryError:
        raise
    except av.FFmpegError:  # damaged from here on: what was read must do
        pass
    moving = (index for index, count in packets.items() if count > 1)
    return next(moving, streams[0].index)


def several_streams(streams: list[VideoStream], chosen: int) -> str:
    """Says in one line which one of several streams is read.

    Args:
        streams: of `video_streams`.
        chosen: index of one of them in the container.
    """
    (context,) = (stream.codec_context for stream in streams if stream.index == chosen)
    return (
        f"holds {len(streams)} video streams; stream {chosen} is read: "
        f"{context.name}, {context.width}x{context.height}"
    )


def frames_to_show(container: InputContainer, stream: VideoStream) -> int:
    """Counts the frames of a stream that the container claims and means to be shown.

    What an edit list cuts off is none, nor is a place in the index that holds no byte.

    Returns:
        The number of frames, 0 if the container claims none.
    """
    entries = list(stream.index_entries)
    shown = sum(entry.size > 0 and not entry.is_discard for entry in entries)
    if not entries:
        return stream.frames
    # FFmpeg's index of MP4 heeds edit lists; that of AVI counts in frames
    step = entries[-1].timestamp / len(entries)
    reaches_end = entries[-1].timestamp + 2 * (1 + step) >= stream.frames
    if "mp4" in container.format.name or reaches_end:
        return min(stream.frames, shown)
    return stream.frames


def _pictures_left_out(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & PICTURES]
