"""Two short clips of a run's test videos, which the page of `fstcn_keras.serve` offers to try."""

import contextlib
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np

from fstcn_keras.files import atomic_write
from fstcn_keras.runs import RunFolder
from fstcn_keras.video import VideoError, VideoReader
from training.data.collections import Dataset, Video

NUMBER = 2
SHORT_SIDE = 240  # pixels
LENGTH_S = 10


def write_examples(run: RunFolder, dataset: Dataset, videos: Sequence[Video], scores: np.ndarray):
    """Writes the first seconds of two test videos of different classes into the run's `examples`.

    They are, of all whose files are there, those that score best for their own class: what the
    network knows best. They become H.264 in MP4, without sound.

    Args:
        run: the folder.
        dataset: of the videos.
        videos: its test videos.
        scores: theirs, fused, float `(V, N)`.
    """
    shutil.rmtree(run.examples, ignore_errors=True)
    run.examples.mkdir()
    own = [row[video.label] for row, video in zip(scores, videos, strict=True)]
    written: set[int] = set()
    for number in np.argsort(-np.array(own), kind="stable"):
        video = videos[number]
        if video.label in written or len(written) == NUMBER:
            continue
        name = quote(dataset.classes[video.label], safe=" ")
        file = run.examples / f"{len(written) + 1}-{name}.mp4"
        # the file may have gone, or the name be too long for one
        with contextlib.suppress(VideoError, OSError):
            write_clip(dataset.root / video.path, file)
            written.add(video.label)


def write_clip(video: Path, target: Path):
    """Writes the first seconds of a video, small, as browsers play it.

    Raises:
        VideoError: if it cannot be read.
        OSError: if the target cannot be written.
    """
    reader = VideoReader(video, short_side=SHORT_SIDE)
    times = reader.times()
    rate = Fraction(reader.fps).limit_denominator(1001)
    with (
        atomic_write(target) as partial,
        av.open(partial, "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = None
        for frame, time_s in zip(reader, times, strict=False):
            if time_s >= LENGTH_S:
                break
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = (side // 2 * 2 for side in frame.shape[:2])
                stream.pix_fmt = "yuv420p"
            image = np.ascontiguousarray(frame[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
