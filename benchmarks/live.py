"""Live video in real time: python -m benchmarks.live [RUN]

Sends video of 320x240 at 25 frames a second to `python -m training.predict RUN --stream -`, with a
run or with preset small and random weights, through a pipe:

- each frame at its time, for --seconds seconds: whether every second is answered, and how long
  after its last frame was sent;
- --hours hours of it at ten times the speed, so that a second of the stream has 250 frames: the
  resident memory of the command after a tenth of them and at the end.

The first --warm-up seconds count for neither. With the defaults about eight minutes.
"""

import argparse
import io
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

from benchmarks.report import print_table, write_csv
from benchmarks.samples import coarse_video, random_run

FPS = 25
FASTER = 10
LOOP_FRAMES = 250
MB = 2**20


@dataclass(frozen=True)
class Answer:
    """A line that the command printed.

    Attributes:
        found: what it says.
        after_s: how long after the first frame was sent it came.
        resident_bytes: of the command then.
    """

    found: dict
    after_s: float
    resident_bytes: int


def main():
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--warm-up", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = options.run or random_run(Path(name) / "small", num_classes=21)
        loop = coarse_video(Path(name) / "loop.ts", num_frames=LOOP_FRAMES, square=16)
        slow, _ = watched(run, loop, fps=FPS, num_frames=FPS * options.seconds)
        num_frames = round(3600 * FPS * options.hours)
        fast, processor_s = watched(run, loop, fps=FASTER * FPS, num_frames=num_frames)
    rows = [
        *real_time(slow[options.warm_up :], options.seconds - options.warm_up),
        *growth(fast[options.warm_up :], num_frames, processor_s),
    ]
    print_table(rows)
    write_csv("live", rows)


def real_time(answers: list[Answer], seconds: int) -> list[dict]:
    """Returns what the stream at its own speed shows."""
    delays = [answer.after_s - answer.found["end_s"] for answer in answers]
    said = [answer.found["delay_s"] for answer in answers]
    return [
        row("seconds sent", seconds, ""),
        row("seconds answered", len(answers), ""),
        row("late frames dropped", answers[-1].found["dropped_frames"], ""),
        row("delay of an answer, median", np.median(delays), "s"),
        row("delay of an answer, 99 %", np.quantile(delays, 0.99), "s"),
        row("delay as the command tells it, median", np.median(said), "s"),
    ]


def growth(answers: list[Answer], num_frames: int, processor_s: float) -> list[dict]:
    """Returns what the stream at ten times the speed shows."""
    memory = [answer.resident_bytes / MB for answer in answers]
    sent_s = num_frames / (FASTER * FPS)
    fast = f"{FASTER} times as fast"
    return [
        row(f"frames sent, {fast}", num_frames, ""),
        row(f"late frames dropped, {fast}", answers[-1].found["dropped_frames"], ""),
        row("resident memory after a tenth", memory[len(memory) // 10], "MB"),
        row("resident memory at the end", memory[-1], "MB"),
        row(f"processor, {fast}", processor_s / sent_s, "cores"),
    ]


def row(measure: str, value: float, unit: str) -> dict:
    """Returns a row of the table."""
    return {"measure": measure, "value": f"{value:.3g}" if unit else f"{value:g}", "unit": unit}


def watched(run: Path, loop: Path, *, fps: int, num_frames: int) -> tuple[list[Answer], float]:
    """Returns the answers to the looped video at the rate, and the processor seconds it took."""
    command = [sys.executable, "-m", "training.predict", str(run), "--stream", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    watcher = psutil.Process(process.pid)
    began = []
    feeder = threading.Thread(
        target=_send, args=(process.stdin, loop, began), kwargs={"fps": fps, "frames": num_frames}
    )
    feeder.start()
    answers = []
    for line in process.stdout:
        used = watcher.cpu_times()
        after_s = time.monotonic() - began[0]
        answers.append(Answer(json.loads(line), after_s, watcher.memory_info().rss))
    feeder.join()
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return answers, used.user + used.system


def _send(pipe: io.BufferedWriter, loop: Path, began: list[float], *, fps: int, frames: int):
    """Writes each frame as MPEG-TS when its time has come."""
    with pipe, av.open(str(loop)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        with av.open(pipe, "w", format="mpegts", options={"flush_packets": "1"}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for number, content in enumerate(_looped(packets, frames)):
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, Fraction(1, fps)
                packet.pts = packet.dts = number
                packet.duration = 1
                if not began:
                    began.append(time.monotonic())
                time.sleep(max(0, began[0] + number / fps - time.monotonic()))
                target.mux(packet)


def _looped(packets: list[bytes], number: int) -> Iterator[bytes]:
    return itertools.islice(itertools.cycle(packets), number)


if __name__ == "__main__":
    main()
