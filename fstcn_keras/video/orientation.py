"""Shows frames as the display matrix of their file asks, as FFmpeg's own command does."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from fstcn_keras.video.filtering import filtered


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """Says how a stored picture is turned and mirrored to be shown.

    Example:
        >>> stored = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
        >>> Orientation(transposed=True, mirrored=True).show(stored)[..., 0]
        array([[3, 0],
               [4, 1],
               [5, 2]], dtype=uint8)

    Attributes:
        transposed: whether rows become columns; done first.
        mirrored: whether left and right are exchanged.
        upside_down: whether top and bottom are exchanged.
        degrees: by which the picture is turned clockwise about its middle, inside its own size;
            what comes to lie outside is cut off, what is not covered is black. The others are
            then false.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False
    degrees: int = 0

    @classmethod
    def from_matrix(cls, matrix: np.ndarray) -> "Orientation":
        """Reads a display matrix by the rules of FFmpeg's command.

        Its angle is rounded to whole degrees. Multiples of 90 turn and mirror the picture, 1
        degree is left alone, and all others turn it inside its own size.

        Example:
            >>> one = 1 << 16
            >>> Orientation.from_matrix(np.array([-one, 0, 0, 0, one, 0, 0, 0, 1 << 30]))
            Orientation(transposed=False, mirrored=True, upside_down=False, degrees=0)

        Args:
            matrix: integers `(9,)` in the order `a, b, u, c, d, v, x, y, w`: the point `(x, y)`
                of the stored picture, y pointing down, is shown at `(a x + c y, b x + d y)` up to
                a shift.

        Reference:
            ISO/IEC 14496-12, 6.2.2; `autorotate` of FFmpeg's `ffmpeg_filter.c`.
        """
        a, b, _, c, d = (int(value) for value in matrix[:5])
        width, height = math.hypot(a, c), math.hypot(b, d)
        if not width or not height:
            return cls()
        exact = math.degrees(math.atan2(b / height, a / width))
        degrees = math.floor(abs(exact) + 0.5) * (1 if exact > 0 else -1) % 360
        if degrees in (90, 270):
            clockwise = degrees == 90
            # without a mirror, a quarter turn has `c` of the opposite sign to `b`
            plain = c <= 0 if clockwise else c >= 0
            return cls(
                transposed=True,
                mirrored=plain if clockwise else not plain,
                upside_down=not clockwise,
            )
        if degrees in (0, 180):
            return cls(mirrored=degrees == 180 and a < 0, upside_down=d < 0)
        return cls(degrees=0 if degrees == 1 else degrees)

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Orientation":
        """Returns how a decoded frame is to be shown."""
        # `frame.side_data` would hold the frame, and the frame it, until a garbage collection
        container: Any = SideDataContainer
        data = container(frame).get("DISPLAYMATRIX")
        return UPRIGHT if data is None else _from_bytes(bytes(data))

    def turn(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Turns a decoded frame by `degrees`, in its own pixel format where that can be turned."""
        if not self.degrees:
            return frame
        return filtered(frame, "rotate", f"{self.degrees}*PI/180")

    def show(self, image: np.ndarray) -> np.ndarray:
        """Turns and mirrors a picture `(height, width, 3)`; the result is contiguous."""
        image = image.swapaxes(0, 1) if self.transposed else image
        image = image[:, ::-1] if self.mirrored else image
        image = image[::-1] if self.upside_down else image
        return np.ascontiguousarray(image)


UPRIGHT = Orientation()


@functools.lru_cache(maxsize=16)
def _from_bytes(matrix: bytes) -> Orientation:
    return Orientation.from_matrix(np.frombuffer(matrix, np.int32))
