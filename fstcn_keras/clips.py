"""Frame-index and crop arithmetic: pure functions on numbers, no pixels read or written here.

A clip pair {V_clip, V_diff} touches the frames `t_k = start + k * stride` and
`t_k + distance`, k = 0 .. clip_length - 1: with the paper's 5, 5 and 9 a span of 30 frames.
"""

import numpy as np

NUM_CROPS = 18


def span(*, clip_length: int = 5, stride: int = 5, distance: int = 9) -> int:
    """Frames from the first to the last one that a clip pair touches, both counted."""
    return (clip_length - 1) * stride + distance + 1


def last_start(num_frames: int, *, clip_length: int = 5, stride: int = 5, distance: int = 9) -> int:
    """The last start from which a clip pair ends inside the video; 0 for shorter videos."""
    _check_num_frames(num_frames)
    return max(0, num_frames - span(clip_length=clip_length, stride=stride, distance=distance))


def pair_indices(
    start: int, num_frames: int, *, clip_length: int = 5, stride: int = 5, distance: int = 9
) -> np.ndarray:
    """Frame numbers of a clip pair.

    An index past the end is reflected (0 1 2 3 2 1 0 1 ...), so that a short video shows
    neither a false jump nor a false stillness.

    Args:
        start: first frame of the clip, from 0.
        num_frames: frames of the video, at least 1.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of the clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.

    Returns:
        int64 `(2, l_t)`: the clip's frames, and those subtracted from them.

    Raises:
        ValueError: if `start` is negative or `num_frames` not positive.

    Reference:
        Sun et al. 2015, sections 2.2 and 3; reflection: design table, row "short videos".
    """
    _check_num_frames(num_frames)
    if start < 0:
        raise ValueError(f"`start` must not be negative. Received: start={start}")
    frames = start + stride * np.arange(clip_length)
    indices = np.stack([frames, frames + distance])
    period = max(1, 2 * (num_frames - 1))
    indices = indices % period
    return np.where(indices < num_frames, indices, period - indices)


def start_frames(
    num_frames: int,
    num_clips: int,
    *,
    clip_length: int = 5,
    stride: int = 5,
    distance: int = 9,
) -> np.ndarray:
    """Starts of the M clips of a test video, spread evenly from its first to its last one.

    One clip alone starts in the middle. A video shorter than a clip has the one start 0.

    Returns:
        int64 `(num_clips,)`, not decreasing.

    Raises:
        ValueError: if `num_frames` or `num_clips` is not positive.

    Reference:
        Design table, row "test views".
    """
    if num_clips < 1:
        raise ValueError(f"`num_clips` must be positive. Received: num_clips={num_clips}")
    last = last_start(num_frames, clip_length=clip_length, stride=stride, distance=distance)
    fractions = np.linspace(0, 1, num_clips) if num_clips > 1 else np.array([0.5])
    return np.floor(fractions * last + 0.5).astype(np.int64)


def resized_length(length, shorter, short_side: int):
    """Length of a side of a resized frame, `length * short_side / shorter`, halves rounded up.

    Args:
        length: length of the side, pixels, int or integer tensor.
        shorter: length of the frame's shorter side, the same.
        short_side: what the shorter side becomes, pixels.
    """
    return (2 * length * short_side + shorter) // (2 * shorter)


def crop_grid(height: int, width: int, size: int) -> np.ndarray:
    """Corners of the nine test crops of a frame: row by row, top left first (Figure 3).

    Args:
        height: height of the frame, pixels.
        width: width of the frame, pixels.
        size: side of the square crop, pixels.

    Returns:
        int64 `(9, 2)`: top, left. The centre crop is number 4.

    Raises:
        ValueError: if the crop does not fit into the frame.
    """
    _check_crop(height, width, size)
    tops = (0, (height - size) // 2, height - size)
    lefts = (0, (width - size) // 2, width - size)
    return np.array([(top, left) for top in tops for left in lefts], dtype=np.int64)


def crops(images: np.ndarray, size: int) -> np.ndarray:
    """The 18 test crops of some frames: the nine of the grid, then their mirror images.

    Args:
        images: `(..., height, width, channels)`, any dtype.
        size: side of the square crop, pixels.

    Returns:
        `(18, ..., size, size, channels)`, the same dtype.

    Raises:
        ValueError: if the crop does not fit into the frame.

    Reference:
        Sun et al. 2015, section 2.4 and Figure 3.
    """
    corners = crop_grid(images.shape[-3], images.shape[-2], size)
    grid = np.stack([images[..., top : top + size, left : left + size, :] for top, left in corners])
    return np.concatenate([grid, grid[..., ::-1, :]])


def random_crop(
    generator: np.random.Generator, height: int, width: int, size: int
) -> tuple[int, int, bool]:
    """One crop for all frames of a training pair, uniform over the places where it fits.

    Returns:
        top, left, and whether the crop is mirrored (with probability 1/2).

    Raises:
        ValueError: if the crop does not fit into the frame.

    Reference:
        Sun et al. 2015, section 2.5 (cropped at the same location and flipped simultaneously).
    """
    _check_crop(height, width, size)
    top = int(generator.integers(0, height - size, endpoint=True))
    left = int(generator.integers(0, width - size, endpoint=True))
    return top, left, bool(generator.integers(2))


def absolute_difference(images: np.ndarray, later: np.ndarray) -> np.ndarray:
    """`|V(t) - V(t + d_t)|` of uint8 images, without overflow (equation 4)."""
    return np.maximum(images, later) - np.minimum(images, later)


def _check_num_frames(num_frames: int):
    if num_frames < 1:
        raise ValueError(f"`num_frames` must be positive. Received: num_frames={num_frames}")


def _check_crop(height: int, width: int, size: int):
    if not 0 < size <= min(height, width):
        raise ValueError(
            "The crop must be positive and fit into the frame. "
            f"Received: size={size}, height={height}, width={width}"
        )
