"""Cuts a video into segments of one class each, and writes them as a table or as captions."""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fstcn_keras.prediction import Moment


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Holds a stretch of a video in which one class is seen.

    Example:
        >>> Segment(start_s=0, end_s=3, class_name="jump", score=0.75).class_name
        'jump'

    Attributes:
        start_s: where it begins, seconds.
        end_s: where it ends, seconds.
        class_name: the class.
        score: mean over its seconds of the score of the class.
    """

    start_s: float
    end_s: float
    class_name: str
    score: float


def segments(seconds: Sequence[Moment], *, min_s: float = 1.0) -> list[Segment]:
    """Cuts a video into segments of a minimal length.

    Of all ways to do so it is the one with the highest score, summed over time. Neighbours differ
    in class. With a minimum of one second, each second has its best class.

    Example:
        >>> scores = [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]]
        >>> seconds = [
        ...     Moment.from_probabilities(np.array([x]), ["jump", "run"], start_s=s, end_s=s + 1)
        ...     for s, x in enumerate(scores)
        ... ]
        >>> [(cut.start_s, cut.end_s, cut.class_name) for cut in segments(seconds, min_s=2)]
        [(0.0, 3.0, 'jump'), (3.0, 5.0, 'run')]

    Args:
        seconds: the seconds of the video, as `ActionClassifier.timeline` gives them.
        min_s: minimal length of a segment, seconds; a shorter video is one segment.

    Returns:
        Segments that follow one another; none of no seconds.

    Raises:
        ValueError: if `min_s` is not positive.
    """
    if not min_s > 0:
        raise ValueError(f"`min_s` must be positive. Received: min_s={min_s}")
    if not seconds:
        return []
    classes = sorted(seconds[0].classes)
    edges = np.array([moment.start_s for moment in seconds] + [seconds[-1].end_s])
    areas = np.zeros((len(seconds) + 1, len(classes)))  # under the scores, from the start on
    for number, moment in enumerate(seconds):
        scores = dict(zip(moment.classes, moment.scores, strict=True))
        areas[number + 1] = [scores[name] for name in classes]
    areas = np.cumsum(areas * np.diff(edges, prepend=edges[0])[:, None], axis=0)
    found = []
    for first, last, label in _best_cuts(areas, edges, min_s):
        start_s, end_s = float(edges[first]), float(edges[last])
        score = float(areas[last, label] - areas[first, label]) / (end_s - start_s)
        found.append(Segment(start_s=start_s, end_s=end_s, class_name=classes[label], score=score))
    return found


def _best_cuts(areas: np.ndarray, edges: np.ndarray, min_s: float) -> list[tuple[int, int, int]]:
    """Returns the edges before and behind each segment, and its class, by dynamic programming.

    The best value up to an edge with a segment of one class before it is that of the edge before
    with this segment going on, or that of the last edge from which it is long enough.
    """
    num_edges, num_classes = areas.shape
    value = np.full((num_edges, num_classes), -np.inf)
    begin = np.zeros((num_edges, num_classes), int)  # of the segment before the edge
    best = np.full(num_edges, -np.inf)
    best[0] = 0
    for edge in range(1, num_edges):
        value[edge] = value[edge - 1] + areas[edge] - areas[edge - 1]
        begin[edge] = begin[edge - 1]
        latest = int(np.searchsorted(edges, edges[edge] - min_s + 1e-9, side="right")) - 1
        if latest >= 0:
            fresh = best[latest] + areas[edge] - areas[latest]
            begin[edge] = np.where(fresh > value[edge], latest, begin[edge])
            value[edge] = np.maximum(value[edge], fresh)
        best[edge] = value[edge].max()
    if best[-1] == -np.inf:  # shorter than one segment
        return [(0, num_edges - 1, int(areas[-1].argmax()))]
    cuts: list[tuple[int, int, int]] = []
    edge = num_edges - 1
    while edge > 0:
        label = int(value[edge].argmax())
        first = int(begin[edge, label])
        last = cuts.pop()[1] if cuts and cuts[-1][2] == label else edge
        cuts.append((first, last, label))
        edge = first
    return cuts[::-1]


def to_csv(cuts: Sequence[Segment]) -> str:
    r"""Returns a table of segments: where each begins and ends in seconds, its class, its score.

    Example:
        >>> to_csv([Segment(start_s=0, end_s=2.5, class_name="jump", score=0.75)])
        'start_s,end_s,class,score\n0.000,2.500,jump,0.750000\n'
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["start_s", "end_s", "class", "score"])
    for cut in cuts:
        rows.writerow(
            [f"{cut.start_s:.3f}", f"{cut.end_s:.3f}", cut.class_name, f"{cut.score:.6f}"]
        )
    return text.getvalue()


def to_webvtt(cuts: Sequence[Segment]) -> str:
    r"""Returns captions that name the class of each segment and its score.

    Example:
        >>> print(to_webvtt([Segment(start_s=0, end_s=2.5, class_name="jump", score=0.75)]))
        WEBVTT
        <BLANKLINE>
        00:00:00.000 --> 00:00:02.500
        jump 0.75
        <BLANKLINE>

    Reference:
        W3C, WebVTT: The Web Video Text Tracks Format, section 4.
    """
    captions = ["WEBVTT\n"]
    for cut in cuts:
        name = html.escape(" ".join(cut.class_name.split()), quote=False)
        start, end = round(1000 * cut.start_s), round(1000 * cut.end_s)
        times = f"{_timestamp(start)} --> {_timestamp(max(end, start + 1))}"
        captions.append(f"{times}\n{name} {cut.score:.2f}\n")
    return "\n".join(captions)


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"
