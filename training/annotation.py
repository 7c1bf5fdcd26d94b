"""A copy of a video that shows what the network sees in every second."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from fstcn_keras.files import atomic_write
from fstcn_keras.prediction import Moment
from fstcn_keras.rejection import NONE
from fstcn_keras.video.sources import FrameReader

SHORT_SIDE = 360  # pixels; the lettering fits it
LINES = 3  # classes named at a time
LINE_HEIGHT = 24
BAR_HEIGHT = 8
BAND_COLOUR = (0, 0, 0, 150)
SCORE_COLOUR = (0, 114, 178, 220)
TICK = Fraction(1, 90_000)  # seconds; thirds of a millisecond and all common rates come out even
TIME_COLOUR = (230, 159, 0, 255)


def annotate(video: FrameReader, seconds: Sequence[Moment], target: Path):
    """Writes the video with the best classes of each second, their scores and a time bar.

    It becomes H.264 in MP4, which browsers play, without sound. Its frames are shown when those of
    the video are.

    Args:
        video: the video, whose times are known, with a short side of `SHORT_SIDE`.
        seconds: its seconds, as `ActionClassifier.timeline` gives them.
        target: file to write.

    Raises:
        VideoError: if the video cannot be read.
    """
    times = video.times()
    ticks = np.rint(times / float(TICK)).astype(int).tolist()
    lengths = dict(zip(ticks, np.diff(ticks).tolist(), strict=False))
    rate = Fraction(video.fps).limit_denominator(1001)
    with (
        atomic_write(target) as partial,
        av.open(partial, "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        numbers = range(video.count())
        bar = tqdm(numbers, "annotating", unit="frame", leave=False, disable=None)
        for number, frame in zip(bar, video.select(numbers), strict=True):
            if number == 0:
                # without B-frames, the last packet is that of the last frame
                stream = container.add_stream("libx264", rate=rate, options={"bf": "0"})
                stream.codec_context.time_base = TICK
                stream.height, stream.width = (side // 2 * 2 for side in frame.shape[:2])
                stream.pix_fmt = "yuv420p"
            time_s = times[number]
            image = draw_moment(
                frame[: stream.height, : stream.width],
                seconds[min(int(time_s), len(seconds) - 1)],
                played=time_s / seconds[-1].end_s,
            )
            shown = av.VideoFrame.from_ndarray(image, format="rgb24")
            shown.time_base, shown.pts = TICK, ticks[number]
            _mux(container, stream.encode(shown), lengths)
        _mux(container, stream.encode(), lengths)


def _mux(container: OutputContainer, packets: Sequence[av.Packet], lengths: dict[int, int]):
    for packet in packets:
        packet.duration = lengths[packet.pts]
        container.mux(packet)


def draw_moment(frame: np.ndarray, moment: Moment, *, played: float) -> np.ndarray:
    """Draws a band of class names and scores and, below, a bar of the time played.

    Args:
        frame: `(height, width, 3)` uint8.
        moment: what is seen.
        played: share of the video before this frame, 0 to 1.
    """
    image = Image.fromarray(frame)
    width, height = image.size
    brush = ImageDraw.Draw(image, "RGBA")
    font = ImageFont.load_default(LINE_HEIGHT * 0.7)
    named = list(zip(moment.classes, moment.scores, strict=True))[:LINES]
    top = height - BAR_HEIGHT - LINE_HEIGHT * len(named)
    brush.rectangle((0, top, width, height), fill=BAND_COLOUR)
    if moment.rejected:
        brush.rectangle((0, 0, width, LINE_HEIGHT), fill=BAND_COLOUR)
        brush.text((6, 2), f"{moment.novelty:.2f}  {NONE}", font=font, fill="white")
    for line, (name, score) in enumerate(named):
        y = top + line * LINE_HEIGHT
        brush.rectangle((0, y + 3, width * float(score), y + LINE_HEIGHT - 3), fill=SCORE_COLOUR)
        brush.text((6, y + 2), f"{score:.2f}  {name}", font=font, fill="white")
    brush.rectangle((0, height - BAR_HEIGHT, width * played, height), fill=TIME_COLOUR)
    return np.asarray(image)
