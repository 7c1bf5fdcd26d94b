"""Segments of a video, against trying all of them; captions, against WebVTT's grammar."""

import csv
import io
import itertools
import re

import av
import numpy as np
import pytest

from fstcn_keras.prediction import Moment
from fstcn_keras.segments import Segment, segments, to_csv, to_webvtt

CLASSES = ("jump", "run", "a & b <i>")


def moments(scores: np.ndarray, *, last_s: float = 1.0) -> list[Moment]:
    """One crop a second: its probabilities are the scores."""
    ends = [*range(1, len(scores)), len(scores) - 1 + last_s]
    return [
        Moment.from_probabilities(row[None], CLASSES, start_s=start, end_s=end)
        for start, (row, end) in enumerate(zip(scores, ends, strict=True))
    ]


def best_by_trying(scores: np.ndarray, *, last_s: float, min_s: float) -> float:
    """The highest sum over time of the scores of a labelling whose runs are long enough."""
    lengths = np.array([1.0] * (len(scores) - 1) + [last_s])
    best = -np.inf
    for labels in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        runs = [[*run] for _, run in itertools.groupby(range(len(scores)), labels.__getitem__)]
        if all(lengths[run].sum() >= min_s for run in runs):
            best = max(best, float(lengths @ scores[np.arange(len(scores)), labels]))
    return best


@pytest.mark.parametrize("last_s", [1.0, 0.4])
@pytest.mark.parametrize("min_s", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_no_other_segments_score_higher(min_s, last_s):
    generator = np.random.default_rng(round(10 * min_s + 100 * last_s))
    for _ in range(5):
        scores = generator.dirichlet(np.ones(3), size=7)
        cuts = segments(moments(scores, last_s=last_s), min_s=min_s)
        assert cuts[0].start_s == 0
        assert cuts[-1].end_s == pytest.approx(6 + last_s)
        for one, other in itertools.pairwise(cuts):
            assert one.end_s == other.start_s
            assert one.class_name != other.class_name
        lengths = np.array([cut.end_s - cut.start_s for cut in cuts])
        assert lengths.min() >= min_s - 1e-9
        found = float(lengths @ [cut.score for cut in cuts])
        assert found == pytest.approx(best_by_trying(scores, last_s=last_s, min_s=min_s))


def test_a_segment_as_long_as_the_minimum_but_for_rounding():
    """3.3 - 1.3 is 1.9999999999999998, and 3.3 - 2 is 1.2999999999999998."""
    jump, run = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]
    cuts = segments(moments(np.array([jump, jump, run, run]), last_s=0.3), min_s=1.3)
    found = [(cut.start_s, cut.end_s, cut.class_name) for cut in cuts]
    assert found == [(0, 2, "jump"), (2, 3.3, "run")]


def test_short_videos_and_none():
    scores = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    (cut,) = segments(moments(scores), min_s=5)
    assert (cut.start_s, cut.end_s, cut.class_name) == (0, 2, "run")
    assert cut.score == pytest.approx((0.3 + 0.8) / 2)
    assert segments([], min_s=1) == []
    with pytest.raises(ValueError, match=r"`min_s` must be positive\. Received: min_s=0"):
        segments(moments(scores), min_s=0)


def test_a_long_video():
    """Three hours in which the class changes every ten minutes, with a second of another one."""
    labels = np.arange(3 * 3600) // 600 % 3
    labels[300::600] += 1
    cuts = segments(moments(0.1 + 0.7 * np.eye(3)[labels % 3]), min_s=2)
    assert [cut.start_s for cut in cuts] == [*range(0, 3 * 3600, 600)]


CUTS = [
    Segment(start_s=0, end_s=2.5, class_name="jump, high", score=0.756),
    Segment(start_s=2.5, end_s=3661.0621, class_name="a & b <i> --> c", score=1.0),
    Segment(start_s=3661.0621, end_s=3661.0622, class_name="run", score=0.5),
    Segment(start_s=3662, end_s=3663, class_name='don\'t  \t "stop" ', score=0.25),
]
# section 4.1 of the specification, of a file with cues of one line without an identifier
STAMP = r"(?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3}"
TEXT = r"(?:[^\n\r&<>]|&(?:amp|lt|gt|lrm|rlm|nbsp);)+"
CUE = rf"({STAMP})[ \t]+-->[ \t]+({STAMP})\n({TEXT})\n"
FILE = rf"WEBVTT\n\n+(?:{CUE}\n+)*(?:{CUE}\n*)"


def test_captions_follow_the_grammar():
    text = to_webvtt(CUTS)
    assert re.fullmatch(FILE, text)
    cues = re.findall(CUE, text)
    assert cues == [
        ("00:00:00.000", "00:00:02.500", "jump, high 0.76"),
        ("00:00:02.500", "01:01:01.062", "a &amp; b &lt;i&gt; --&gt; c 1.00"),
        ("01:01:01.062", "01:01:01.063", "run 0.50"),  # an end lies behind its start
        ("01:01:02.000", "01:01:03.000", 'don\'t "stop" 0.25'),
    ]
    assert to_webvtt([]) == "WEBVTT\n"


def test_ffmpeg_reads_the_captions(tmp_path):
    file = tmp_path / "captions.vtt"
    file.write_text(to_webvtt(CUTS))
    with av.open(file) as container:
        assert container.format.name == "webvtt"
        packets = [packet for packet in container.demux() if packet.size]
    spans = [
        (int(p.pts * p.time_base * 1000), int(p.duration * p.time_base * 1000)) for p in packets
    ]
    assert spans == [(0, 2500), (2500, 3658562), (3661062, 1), (3662000, 1000)]
    assert bytes(packets[0]).decode() == "jump, high 0.76"


def test_the_table():
    rows = list(csv.DictReader(io.StringIO(to_csv(CUTS))))
    assert [float(row["end_s"]) for row in rows] == [2.5, 3661.062, 3661.062, 3663]
    assert rows[1] == {
        "start_s": "2.500",
        "end_s": "3661.062",
        "class": "a & b <i> --> c",
        "score": "1.000000",
    }
