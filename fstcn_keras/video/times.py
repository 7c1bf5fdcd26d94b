"""Tells when the frames of a video are shown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.video.stream import VideoStream

ASSUMED_RATE = Fraction(25)  # of a file that tells neither times nor a rate
PLAUSIBLE_RATES = (1, 300)  # frames per second; beyond them a container tells its clock's rate
LEAP_BACK_S, LEAP_S = 0.1, 10.0  # FFmpeg's: beyond them a clock was set anew
LAST_FRAME = 0.51  # periods by which the last frame may begin and end elsewhere at a constant rate
LONGEST_FRAME_S = 60.0  # on average; beyond it the times are damaged


def uniform_times(num_frames: int, fps: float) -> np.ndarray:
    """Computes the times of frames at a constant rate.

    Example:
        >>> uniform_times(3, 25)
        array([0.  , 0.04, 0.08, 0.12])

    Args:
        num_frames: the number of frames, T.
        fps: frames per second, positive.

    Returns:
        float64 `(T + 1,)`, seconds: when each frame is shown, and when the last one ends.
    """
    return np.arange(num_frames + 1) / float(fps)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Says what a container tells about time.

    Example:
        >>> rates = (Fraction(60_000), Fraction(25))  # as of raw DV
        >>> str(Clock(tick=Fraction(1, 60_000), rates=rates, restarts=False).rate)
        '25'

    Attributes:
        tick: the unit of its times, seconds; 0 if it has none.
        rates: frames per second that it claims or that FFmpeg guesses, the best first.
        restarts: whether its times may be set anew on the way, as in broadcasts.
    """

    tick: Fraction
    rates: tuple[Fraction | None, ...]
    restarts: bool

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> "Clock":
        """Returns the clock of a stream."""

        def has(flag: Flags) -> bool:
            return bool(container.format.flags & cast(int, flag.value))

        is_timeless = has(Flags.no_timestamps)  # FFmpeg makes some up
        return cls(
            tick=Fraction(0) if is_timeless else stream.time_base or Fraction(0),
            rates=(stream.guessed_rate, stream.average_rate),
            restarts=has(Flags.ts_discont),
        )

    @property
    def rate(self) -> Fraction | None:
        """Returns the first rate that can be one, or `None`."""
        return next(iter(self._plausible()), None)

    def mean_rate(self, times: np.ndarray) -> float:
        """Returns the frames per second of these times; that which the container claims if it fits.

        Args:
            times: as `times` returns them.
        """
        mean = (len(times) - 1) / times[-1]
        fitting = (rate for rate in self._plausible() if abs(mean / rate - 1) < 1e-3)
        return float(next(fitting, mean))

    def _plausible(self) -> list[Fraction]:
        low, high = PLAUSIBLE_RATES
        return [rate for rate in self.rates if rate and low <= rate <= high]

    def times(self, ticks: Sequence[int | None], *, last: int) -> tuple[np.ndarray, str]:
        """Computes when frames are shown.

        Times that are a constant rate's but for the rounding to ticks become exact. A frame
        without a time of its own lies evenly between its neighbours. Where fewer than half have
        one, or they are damaged, a constant rate is assumed: one that the container claims, or 25.

        Example:
            >>> clock = Clock(tick=Fraction(1, 1000), rates=(None,), restarts=False)
            >>> clock.times([500, 540, None, 700], last=40)
            (array([0.  , 0.04, 0.12, 0.2 , 0.24]), '')

        Args:
            ticks: the time of each of T frames in order of display, T at least 1; `None` where
                it is not known.
            last: how long the last one is shown, ticks; 0 if not known.

        Returns:
            As `uniform_times`, from the first frame on; and what was assumed, in one line, or
            nothing.
        """
        unit = float(self.tick)
        seconds = np.array([tick * unit if unit and tick is not None else np.nan for tick in ticks])
        if self.restarts:
            seconds = _without_leaps(seconds, 1 / float(self.rate or ASSUMED_RATE))
        known = np.flatnonzero(np.isfinite(seconds))
        # in AVI, frames that are shown in another order bear each other's times
        ordered = np.sort(seconds[known])
        is_later = np.diff(ordered, prepend=-np.inf) > 0
        known, ordered = known[is_later], ordered[is_later]
        if 2 * len(known) <= len(ticks):
            return self._assumed(len(ticks), "its frames bear no times")
        times = self._evenly(known, ordered, len(ticks), last=last * unit)
        if times[-1] > LONGEST_FRAME_S * len(ticks):
            return self._assumed(len(ticks), "the times of its frames are damaged")
        for rate in self._plausible():
            exact = uniform_times(len(ticks), float(rate))
            # one tick to either side, unless ticks are as long as frames
            rounding = 1.01 * unit if 4 * unit * rate <= 1 else 1e-6
            offsets = np.abs(times - exact)
            # where a container has no end, FFmpeg makes up when the last frame is shown as well
            if offsets[:-2].max(initial=0) <= rounding and offsets[-2:].max() * rate <= LAST_FRAME:
                return exact, ""
        return times, ""

    def _evenly(
        self, known: np.ndarray, seconds: np.ndarray, num_frames: int, *, last: float
    ) -> np.ndarray:
        """Fills in the times of the frames between, before and behind those that are known."""
        period = 1 / float(self.rate or ASSUMED_RATE)
        if len(known) > 1:
            # NumPy's median imports what takes longer than the frames of a short video
            period = statistics.median((np.diff(seconds) / np.diff(known)).tolist())
        elif not len(known):
            known, seconds = np.array([0]), np.array([0.0])
        numbers = np.arange(num_frames)
        times = np.interp(numbers, known, seconds)
        times += period * (np.minimum(numbers - known[0], 0) + np.maximum(numbers - known[-1], 0))
        before_last = min([period, *np.diff(times[-2:])])
        # FFmpeg guesses one tick where a container has no durations
        if last < before_last / 4 or last == float(self.tick):
            last = before_last
        return np.append(times, times[-1] + last) - times[0]

    def _assumed(self, num_frames: int, reason: str) -> tuple[np.ndarray, str]:
        rate = float(self.rate or ASSUMED_RATE)
        note = f"{reason}: {rate:g} frames a second are assumed"
        return uniform_times(num_frames, rate), note


def _without_leaps(seconds: np.ndarray, period: float) -> np.ndarray:
    """Closes up where a clock was set anew: the next frame follows by one period."""
    known = np.flatnonzero(np.isfinite(seconds))
    steps = np.diff(seconds[known])
    leaps = (steps < -LEAP_BACK_S) | (steps > LEAP_S)
    result = seconds.copy()
    result[known[1:]] -= np.cumsum(np.where(leaps, steps - period, 0))
    return result
