"""Names the action in every second of live video, as it happens."""

import collections
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras import clips
from fstcn_keras.prediction import Moment
from fstcn_keras.video import VideoError
from fstcn_keras.video.frames import resized
from fstcn_keras.video.live import LiveFrame, LiveReader, LiveSource
from fstcn_keras.video.resampling import PHASE
from fstcn_keras.video.times import ASSUMED_RATE
from fstcn_keras.views.plan import ViewPlan

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

LONGEST_PAUSE_S = 30.0  # between two tries to reconnect


@dataclass(frozen=True, kw_only=True)
class LiveMoment:
    """Holds what is seen in a second of live video.

    Attributes:
        moment: the scores; its times count from the first frame of all.
        delay_s: how long after the end of the second they were there.
        dropped_frames: frames so far of seconds that are not answered, being late.
        reconnections: how often the source was opened again so far.
    """

    moment: Moment
    delay_s: float
    dropped_frames: int
    reconnections: int


@dataclass(frozen=True, kw_only=True)
class Second:
    """Holds the frames of the clip pair of one second.

    Attributes:
        start_s: where it begins, seconds from the first frame.
        end_s: where it ends.
        frames: the frames that are needed.
        positions: of the pair in them, int64 `(2, l_t)`.
        num_frames: how many frames have come since the second before was cut.
        over_s: when it was over, by `time.monotonic`.
    """

    start_s: float
    end_s: float
    frames: list[LiveFrame]
    positions: np.ndarray
    num_frames: int
    over_s: float


def cut_seconds(frames: Iterable[LiveFrame], plan: ViewPlan) -> Iterator[Second]:
    """Cuts the clip pair of every second out of frames that come one after another.

    They are those of `ActionClassifier.timeline`, each as soon as its last frame is there. The
    frames of one clip, and those that came since, are kept.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> black = np.zeros((48, 64, 3), np.uint8)
        >>> frames = (
        ...     LiveFrame(time_s=n / 25, arrived_s=n / 25, image=lambda: black) for n in range(60)
        ... )
        >>> plan = ViewPlan.from_config(FSTCNConfig())
        >>> [(second.start_s, second.end_s) for second in cut_seconds(frames, plan)]
        [(0, 1), (1, 2), (2, 2.4)]

    Args:
        frames: in order of time, the first at 0.
        plan: the views.
    """
    cutter = _Cutter(plan)
    for frame in frames if plan.fps is None else _at_rate(frames, plan.fps):
        yield from cutter.add(frame)
    yield from cutter.end()


class _Cutter:
    """Holds the frames from which the next seconds are cut."""

    def __init__(self, plan: ViewPlan) -> None:
        self._timing = plan.window_timing()
        self._span = plan.window_span()
        self._held: collections.deque[LiveFrame] = collections.deque()
        self._num_frames = 0  # those that were let go of among them
        self._starts: collections.deque[int] = collections.deque()  # of seconds not yet cut
        self._second = 0  # the next one to be cut
        self._counted = 0  # frames that had come when the one before was cut
        self._period_s = 1 / float(ASSUMED_RATE)

    def add(self, frame: LiveFrame) -> Iterator[Second]:
        """Takes a frame; gives the seconds whose clips are now there."""
        if self._held:
            self._period_s = frame.time_s - self._held[-1].time_s
            while self._middle_s <= frame.time_s:
                self._begin(frame.time_s)
        self._held.append(frame)
        self._num_frames += 1
        while self._starts and self._starts[0] + self._span <= self._num_frames:
            yield self._cut(math.inf)
        needed = min([self._num_frames - self._span, *itertools.islice(self._starts, 1)])
        while self._num_frames - len(self._held) < needed:
            self._held.popleft()

    def end(self) -> Iterator[Second]:
        """Gives the seconds that are left; their clips end with the video."""
        if not self._held:
            return
        end_s = self._held[-1].time_s + self._period_s
        while self._second + len(self._starts) < math.ceil(round(end_s, 6)):
            self._begin(end_s)
        latest = clips.last_start(self._num_frames, **self._timing)
        self._starts = collections.deque(min(start, latest) for start in self._starts)
        while self._starts:
            yield self._cut(end_s)

    @property
    def _middle_s(self) -> float:
        """Returns the middle of the next second whose clip has no start yet."""
        return self._second + len(self._starts) + 0.5

    def _begin(self, next_s: float) -> None:
        """Finds where this clip starts; its middle lies between the last frame and `next_s`."""
        last_s = self._held[-1].time_s
        part = min((self._middle_s - last_s) / (next_s - last_s), 1)
        middle = round(self._num_frames - 1 + part, 6)  # in frames, so that halves are exact
        self._starts.append(max(0, math.floor(middle - self._span / 2 + 0.5)))

    def _cut(self, end_s: float) -> Second:
        pair = clips.pair_indices(self._starts.popleft(), self._num_frames, **self._timing)
        numbers, positions = np.unique(pair, return_inverse=True)
        first, last = self._num_frames - len(self._held), self._held[-1]
        end_s = min(self._second + 1, end_s)
        found = Second(
            start_s=self._second,
            end_s=end_s,
            frames=[self._held[number - first] for number in numbers.tolist()],
            positions=positions.reshape(pair.shape),
            num_frames=self._num_frames - self._counted,
            over_s=last.arrived_s - (last.time_s - end_s),
        )
        self._second, self._counted = self._second + 1, self._num_frames
        return found


def _at_rate(frames: Iterable[LiveFrame], fps: float) -> Iterator[LiveFrame]:
    """Gives the frames at another rate, as `video.resampling` chooses them."""
    number = 0
    last = None
    period = 1 / float(ASSUMED_RATE)
    for frame in frames:
        if last is not None:
            period = frame.time_s - last.time_s
            while (number + PHASE) / fps < frame.time_s:
                yield replace(last, time_s=number / fps, arrived_s=frame.arrived_s)
                number += 1
        last = frame
    if last is not None:
        while number < max(1, round((last.time_s + period) * fps)):
            yield replace(last, time_s=number / fps)
            number += 1


class _Handover:
    """Hands seconds from the thread that reads to the one that scores; one may wait."""

    def __init__(self) -> None:
        self.dropped_frames = 0
        self.reconnections = 0
        self.stopped = threading.Event()  # nobody takes any more
        self._change = threading.Condition()
        self._waiting: tuple[float, Second] | None = None
        self._is_over = False
        self._error: BaseException | None = None

    def put(self, offset_s: float, second: Second, *, ahead_s: float) -> None:
        """Lets a second wait; in the place of one that still does after `ahead_s` seconds."""
        with self._change:
            self._change.wait_for(lambda: self._waiting is None, timeout=max(0.0, ahead_s))
            if self._waiting is not None:
                self.dropped_frames += self._waiting[1].num_frames
            self._waiting = offset_s, second
            self._change.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Says that no more will come."""
        with self._change:
            self._is_over, self._error = True, error
            self._change.notify_all()

    def __iter__(self) -> Iterator[tuple[float, Second]]:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting is not None or self._is_over)
                if self._waiting is None:
                    if self._error is not None:
                        raise self._error
                    return
                found, self._waiting = self._waiting, None
                self._change.notify_all()
            yield found


def watch(
    classifier: "ActionClassifier",
    source: LiveSource,
    *,
    lost: Callable[[str], None] = lambda reason: None,
) -> Iterator[LiveMoment]:
    """Names the action in every second of a live source.

    A thread decodes all that comes; at most one second waits while another one is scored. A
    source that runs ahead of the clock, such as a file sent through a pipe, is made to wait. From
    one that does not, the second that waits is dropped when the next one comes.

    Args:
        classifier: scores the seconds.
        source: where the video comes from. A camera or an address that ends or breaks off is
            opened again, without end.
        lost: called with the reason, in one line, when that happens.

    Yields:
        One `LiveMoment` for each second that is answered.

    Raises:
        VideoError: if the source cannot be opened in the beginning, or holds no video.
        Exception: whatever `lost` raises.
    """
    plan = classifier.plan
    blank = np.zeros((1, plan.short_side, plan.short_side, 3), np.uint8)
    still = np.zeros((1, 2, plan.clip_length), int)
    classifier.score_clips(blank, still)  # the first time takes longer
    handover = _Handover()
    arguments = source, plan, handover, lost
    threading.Thread(target=_read_and_end, args=arguments, daemon=True).start()
    try:
        yield from _answers(classifier, handover)
    finally:
        handover.stopped.set()


def _answers(classifier: "ActionClassifier", handover: _Handover) -> Iterator[LiveMoment]:
    for offset_s, second in handover:
        images = [frame.image() for frame in second.frames]
        frames = np.stack(list(resized(images, classifier.plan.short_side)))
        moment = classifier.moment(
            frames,
            second.positions,
            start_s=offset_s + second.start_s,
            end_s=offset_s + second.end_s,
        )
        yield LiveMoment(
            moment=moment,
            delay_s=time.monotonic() - second.over_s,
            dropped_frames=handover.dropped_frames,
            reconnections=handover.reconnections,
        )


def _read_and_end(
    source: LiveSource, plan: ViewPlan, handover: _Handover, lost: Callable[[str], None]
) -> None:
    """Reads as `_read`, and ends the handover, as the other thread must not wait without end."""
    try:
        _read(source, plan, handover, lost)
    except BaseException as error:
        handover.end(error)
    else:
        handover.end()


def _read(
    source: LiveSource, plan: ViewPlan, handover: _Handover, lost: Callable[[str], None]
) -> None:
    """Reads the source for as long as it can be opened, and hands its seconds over."""
    began_s: float | None = None  # when the first frame of all came
    pause_s = 1.0
    while True:
        reason = f"{source.name} has ended or broken off"
        try:
            frames = LiveReader(source).frames()
            for first in itertools.islice(frames, 1):
                began_s = first.arrived_s if began_s is None else began_s
                pause_s = 1.0
                for second in cut_seconds(itertools.chain([first], frames), plan):
                    ahead_s = _ahead_s(second, first.arrived_s)
                    handover.put(first.arrived_s - began_s, second, ahead_s=ahead_s)
                    if handover.stopped.is_set():
                        return
            if began_s is None:
                raise VideoError(f"{source.name} gave no frame that could be decoded")
        except (VideoError, MemoryError) as error:
            too_little = f"{source.name} takes more memory than there is"
            reason = str(error) if isinstance(error, VideoError) else too_little
            if began_s is None:
                raise
        except Exception as error:
            raise VideoError(f"{source.name}: {type(error).__name__}: {error}") from error
        if not source.reconnects:
            return
        lost(f"{reason}: trying again in {pause_s:g} s")
        if handover.stopped.wait(pause_s):
            return
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        handover.reconnections += 1


def _ahead_s(second: Second, opened_s: float) -> float:
    """Returns how long before the second would be over it is there, by the clock."""
    return second.end_s - (time.monotonic() - opened_s)
