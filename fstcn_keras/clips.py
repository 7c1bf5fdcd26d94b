"""Computes frame numbers, crops and differences, on NumPy arrays and on tensors in a graph.

A clip pair {V_clip, V_diff} touches the frames `t_k = start + k * stride` and
`t_k + distance`, k = 0 .. clip_length - 1: with the paper's 5, 5 and 9 a span of 30 frames. That is
dense sampling. Sparse sampling spreads the clip's frames over the whole video.

Integers are int64 in NumPy and int32 in a graph. Values that only a graph knows are not checked.
"""

import numpy as np

from fstcn_keras.views.arrays import Array, Length, array_namespace, as_array, cast, integers

NUM_CROPS = 18
SAMPLINGS = ("dense", "sparse")


def span(*, clip_length: int = 5, stride: int = 5, distance: int = 9) -> int:
    """Counts the frames from the first to the last one that a clip pair touches, both included.

    It is `(clip_length - 1) * stride + distance + 1`.

    Example:
        >>> span()
        30

    Args:
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of the clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.
    """
    return (clip_length - 1) * stride + distance + 1


def clip_stride(
    num_frames: Length,
    *,
    clip_length: int = 5,
    stride: int = 5,
    distance: int = 9,
    sampling: str = "dense",
) -> Length:
    """Returns how many frames lie between two frames of a clip.

    Dense sampling keeps `stride`. Sparse sampling divides the video into as many segments as a clip
    has frames, and the clip takes the same frame of each:
    `max(stride, (num_frames - distance) // clip_length)`.

    Example:
        >>> clip_stride(120, sampling="sparse"), clip_stride(40, sampling="sparse")
        (22, 6)

    Args:
        num_frames: frames of the video, at least 1.
        clip_length: as for `span`.
        stride: as for `span`; the least one of sparse sampling.
        distance: as for `span`.
        sampling: one of `SAMPLINGS`.

    Reference:
        Wang et al. 2016, Temporal Segment Networks, section 3.1 (sparse sampling of segments).
    """
    if sampling == "dense":
        return stride
    spread = (num_frames - distance) // clip_length
    ops = array_namespace(spread)
    return max(stride, spread) if ops is np else ops.maximum(stride, spread)


def last_start(
    num_frames: Length,
    *,
    clip_length: int = 5,
    stride: int = 5,
    distance: int = 9,
    sampling: str = "dense",
) -> Length:
    """Returns the last start from which a clip pair ends inside the video; 0 for shorter videos.

    It is `max(0, num_frames - span)`.

    Example:
        >>> last_start(40)
        10
        >>> last_start(120, sampling="sparse")
        22

    Args:
        num_frames: frames of the video, at least 1.
        clip_length: as for `span`.
        stride: as for `clip_stride`.
        distance: as for `span`.
        sampling: as for `clip_stride`.

    Raises:
        ValueError: if `num_frames` is not positive, unless only a graph knows it.
    """
    _check_num_frames(num_frames)
    stride = clip_stride(
        num_frames, clip_length=clip_length, stride=stride, distance=distance, sampling=sampling
    )
    last = num_frames - span(clip_length=clip_length, stride=stride, distance=distance)
    ops = array_namespace(last)
    return max(0, last) if ops is np else ops.maximum(0, last)


def pair_indices(
    start: Length | Array,
    num_frames: Length,
    *,
    clip_length: int = 5,
    stride: int = 5,
    distance: int = 9,
    sampling: str = "dense",
) -> Array:
    """Computes the frame numbers of a clip pair, or of several.

    An index past the end is reflected (0 1 2 3 2 1 0 1 ...), so that a short video shows
    neither a false jump nor a false stillness.

    Example:
        >>> pair_indices(7, 300)
        array([[ 7, 12, 17, 22, 27],
               [16, 21, 26, 31, 36]])
        >>> pair_indices([0, 7], 300).shape
        (2, 2, 5)
        >>> pair_indices(7, 300, sampling="sparse")[0]
        array([  7,  65, 123, 181, 239])

    Args:
        start: first frame of the clip, from 0; or those of several clips, `(...)`.
        num_frames: frames of the video, at least 1.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of the clip, `s_t`; see `clip_stride`.
        distance: frames between the two members of a difference, `d_t`.
        sampling: as for `clip_stride`.

    Returns:
        Integers `(2, l_t)`, or `(..., 2, l_t)`: the clip's frames, and those subtracted from them.

    Raises:
        ValueError: if `start` is negative or `num_frames` not positive.

    Reference:
        Sun et al. 2015, sections 2.2 and 3; reflection: design table, row "short videos".
    """
    _check_num_frames(num_frames)
    if array_namespace(start) is np and np.any(np.less(start, 0)):
        raise ValueError(f"`start` must not be negative. Received: start={start}")
    ops = array_namespace(start, num_frames)
    stride = clip_stride(
        num_frames, clip_length=clip_length, stride=stride, distance=distance, sampling=sampling
    )
    frames = integers(start, num_frames)[..., None] + stride * ops.arange(clip_length)  # (..., l_t)
    indices = ops.stack([frames, frames + distance], axis=-2)
    period = ops.maximum(1, 2 * (num_frames - 1))
    indices = indices % period
    return ops.where(indices < num_frames, indices, period - indices)


def start_frames(
    num_frames: Length,
    num_clips: int,
    *,
    clip_length: int = 5,
    stride: int = 5,
    distance: int = 9,
    sampling: str = "dense",
) -> Array:
    """Spreads the starts of the M clips of a test video evenly from its first to its last one.

    One clip alone starts in the middle. A video shorter than a clip has the one start 0.

    Example:
        >>> start_frames(130, 5)
        array([  0,  25,  50,  75, 100])

    Args:
        num_frames: frames of the video, at least 1.
        num_clips: the paper's M.
        clip_length: as for `span`.
        stride: as for `clip_stride`.
        distance: as for `span`.
        sampling: as for `clip_stride`.

    Returns:
        Integers `(num_clips,)`, not decreasing.

    Raises:
        ValueError: if `num_frames` or `num_clips` is not positive.

    Reference:
        Design table, row "test views".
    """
    if num_clips < 1:
        raise ValueError(f"`num_clips` must be positive. Received: num_clips={num_clips}")
    last = last_start(
        num_frames, clip_length=clip_length, stride=stride, distance=distance, sampling=sampling
    )
    fractions = np.linspace(0, 1, num_clips) if num_clips > 1 else np.array([0.5])
    exact = fractions * cast(last, "float64")
    return integers(array_namespace(exact).floor(exact + 0.5))


def resized_length(length: Length, shorter: Length, short_side: int) -> Length:
    """Computes the length of a side of a resized frame, halves of a pixel rounded up.

    It is `length * short_side / shorter`.

    Example:
        >>> resized_length(320, 240, short_side=204)
        272

    Args:
        length: length of the side, pixels.
        shorter: length of the frame's shorter side, pixels.
        short_side: what the shorter side becomes, pixels.
    """
    return (2 * length * short_side + shorter) // (2 * shorter)


def crop_grid(height: Length, width: Length, size: int) -> Array:
    """Computes the corners of the nine test crops of a frame, row by row (Figure 3).

    Example:
        >>> crop_grid(240, 320, 204)[[0, 4, 8]]
        array([[  0,   0],
               [ 18,  58],
               [ 36, 116]])

    Args:
        height: height of the frame, pixels.
        width: width of the frame, pixels.
        size: side of the square crop, pixels.

    Returns:
        Integers `(9, 2)`: top, left. The top left crop is the first, the centre crop number 4.

    Raises:
        ValueError: if the crop does not fit into the frame.
    """
    _check_crop(height, width, size)
    ops = array_namespace(height, width)
    tops, lefts = ((length - size) * ops.arange(3) // 2 for length in (height, width))
    return ops.stack([ops.repeat(tops, 3), ops.tile(lefts, 3)], axis=-1)


def windows(images: Array, corners: Array, size: tuple[int, int]) -> list[Array]:
    """Cuts windows of one size out of images, views of them in NumPy.

    Example:
        >>> windows(np.arange(12).reshape(3, 4, 1), [(1, 2)], (1, 2))[0].ravel()
        array([6, 7])

    Args:
        images: `(..., height, width, channels)`.
        corners: `(n, 2)`, top and left of each window.
        size: height and width of the windows.

    Returns:
        n of them, `(..., *size, channels)`.
    """
    ops = array_namespace(images)
    corners = as_array(corners)
    height, width = size
    shape = (*ops.shape(images)[:-3], height, width, images.shape[-1])
    found = []
    for number in range(corners.shape[0]):
        top, left = corners[number, 0], corners[number, 1]
        window = images[..., top : top + height, left : left + width, :]
        found.append(ops.reshape(window, shape))  # of a tensor this makes the shape static
    return found


def crops(images: Array, size: int) -> Array:
    """Cuts the 18 test crops of some frames: the nine of the grid, then their mirror images.

    Example:
        >>> crops(np.zeros((5, 240, 320, 3), np.uint8), 204).shape
        (18, 5, 204, 204, 3)

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
    ops = array_namespace(images)
    height, width = ops.shape(images)[-3:-1]
    grid = ops.stack(windows(images, crop_grid(height, width, size), (size, size)))
    return ops.concatenate([grid, ops.flip(grid, axis=-2)])


def map_corners(corners: Array, map_shape: tuple[Length, Length], size: tuple[int, int]) -> Array:
    """Computes where the crops of an image lie in its feature map: at the positions next to theirs.

    Example:
        >>> map_corners(crop_grid(84, 132, 68), (4, 7), (3, 3))[[0, 4, 8]]
        array([[0, 0],
               [0, 2],
               [1, 4]])

    Args:
        corners: `(9, 2)`, top and left of the crops in the image, as `crop_grid` gives them.
        map_shape: height and width of the image's map.
        size: height and width of a crop's map.

    Returns:
        Integers `(9, 2)`: top, left.
    """
    ops = array_namespace(corners, *map_shape)
    room = [length - side for length, side in zip(map_shape, size, strict=True)]
    shares = cast(corners, "float64") / cast(ops.maximum(ops.max(corners, axis=0), 1), "float64")
    return integers(ops.round(shares * cast(ops.stack(room), "float64")))


def map_crops(maps: Array, corners: Array, size: tuple[int, int]) -> list[Array]:
    """Cuts the 18 crops out of the feature maps of an image and of its mirror image.

    Example:
        >>> maps = np.zeros((2, 4, 7, 128), np.float32)
        >>> found = map_crops(maps, crop_grid(84, 132, 68), (3, 3))
        >>> len(found), found[0].shape
        (18, (3, 3, 128))

    Args:
        maps: `(2, h, w, f)`, those of the mirror image second.
        corners: `(9, 2)`, top and left of the crops in the image, as `crop_grid` gives them.
        size: height and width of a crop's map.

    Returns:
        `(*size, f)` each, in the order of `crops`.
    """
    ops = array_namespace(maps)
    height, width = ops.shape(maps)[1:3]
    positions = map_corners(corners, (height, width), size)
    mirrored = ops.stack([positions[:, 0], width - size[1] - positions[:, 1]], axis=-1)
    return [*windows(maps[0], positions, size), *windows(maps[1], mirrored, size)]


def absolute_difference(images: Array, later: Array) -> Array:
    """Computes `|V(t) - V(t + d_t)|` of uint8 images, without overflow (equation 4).

    Example:
        >>> absolute_difference(np.uint8([3, 200]), np.uint8([5, 20]))
        array([  2, 180], dtype=uint8)

    Args:
        images: `V(t)`, uint8 of any shape.
        later: `V(t + d_t)`, the same.

    Returns:
        uint8 of the same shape.

    Reference:
        Sun et al. 2015, equation (4).
    """
    ops = array_namespace(images, later)
    return ops.maximum(images, later) - ops.minimum(images, later)


def _check_num_frames(num_frames: Length) -> None:
    if array_namespace(num_frames) is np and num_frames < 1:
        raise ValueError(f"`num_frames` must be positive. Received: num_frames={num_frames}")


def _check_crop(height: Length, width: Length, size: int) -> None:
    if array_namespace(height, width) is np and not 0 < size <= min(height, width):
        raise ValueError(
            "The crop must be positive and fit into the frame. "
            f"Received: size={size}, height={height}, width={width}"
        )
