"""Passes decoded frames through FFmpeg's filters."""

from fractions import Fraction

import av
from av.filter import Graph

TIME_BASE = Fraction(1, 1000)  # of no matter for one frame; the last ones of a file have none


def filtered(frame: av.VideoFrame, name: str, arguments: str) -> av.VideoFrame:
    """Passes one decoded frame through a filter, in its own pixel format where the filter can.

    Example:
        >>> frame = av.VideoFrame(64, 48, "yuv420p")
        >>> turned = filtered(frame, "transpose", "clock")
        >>> turned.width, turned.height
        (48, 64)

    Args:
        frame: the frame.
        name: of the filter, which gives one frame for each that it gets.
        arguments: its options, as FFmpeg's command takes them.
    """
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=TIME_BASE,
    )
    graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()
