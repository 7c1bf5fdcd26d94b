"""Fuses the scores of many views of one video, arrays or tensors in a graph (section 2.4)."""

from collections.abc import Mapping

import numpy as np

from fstcn_keras.views.arrays import Array, array_namespace, as_array

LABELS = {"sci": "SCI fusion", "average": "averaging", "single": "one clip, centre crop"}
METHODS = tuple(LABELS)
CENTER_CROP = 4  # of the nine of `clips.crop_grid`


def sci(probabilities: Array) -> Array:
    """Computes the sparsity concentration index: 0 of a uniform score vector, 1 of a one-hot one.

    ```
    SCI(p) = (N * max_j p_j / sum_j p_j - 1) / (N - 1)
    ```

    A single class is certain (1); a vector of zeros says nothing (0).

    Example:
        >>> sci([[0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]).round(2)
        array([0.  , 1.  , 0.33])

    Args:
        probabilities: `(..., N)`, not negative; need not sum to exactly 1.

    Returns:
        `(...)` in [0, 1], floating point.

    Raises:
        ValueError: if an entry is negative or not finite, unless only a graph knows it.

    Reference:
        Sun et al. 2015, equation (5).
    """
    ops, p = array_namespace(probabilities), as_array(probabilities)
    if ops is np:
        _check_probabilities(p)
    total = ops.sum(p, axis=-1)
    share = ops.max(p, axis=-1) / ops.where(total > 0, total, 1)
    num_classes = p.shape[-1]
    if num_classes == 1:
        return share
    return ops.clip((num_classes * share - 1) / (num_classes - 1), 0, 1)


def fuse_crops(probabilities: Array) -> Array:
    """Averages over crops, weighted by their SCI: `sum_k SCI(p_k) p_k / sum_k SCI(p_k)`.

    Where every SCI is zero, it is the plain mean.

    Example:
        >>> fuse_crops([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]]).round(3)  # SCI 0, 1/2 and 1
        array([0.083, 0.917])

    Args:
        probabilities: `(..., C, N)`.

    Returns:
        `(..., N)`.

    Reference:
        Sun et al. 2015, equation (6).
    """
    ops, p = array_namespace(probabilities), as_array(probabilities)
    weights = sci(p)[..., None]  # (..., C, 1)
    total = ops.sum(weights, axis=-2)  # (..., 1)
    weighted = ops.sum(weights * p, axis=-2) / ops.where(total > 0, total, 1)
    return ops.where(total > 0, weighted, ops.mean(p, axis=-2))


def fuse(probabilities: Array, method: str = "sci") -> Array:
    """Fuses the scores of the M x C views of a video to its own.

    Example:
        >>> views = [[[1, 0], [0.5, 0.5]], [[0.25, 0.75], [0, 1]]]  # two clips of two crops
        >>> fuse(views).round(3), fuse(views, "average").round(3)
        (array([1.   , 0.917]), array([0.438, 0.562]))

    Args:
        probabilities: `(..., M, C, N)`, class probabilities of every crop of every clip.
        method: `"sci"`: SCI-weighted mean over crops (6), then the element-wise maximum over
            clips (7); `"average"`: plain mean over all views; `"single"`: the centre crop of
            the middle clip alone, which stands for one drawn at random.

    Returns:
        `(..., N)`. After `"sci"` the scores need not sum to 1.

    Raises:
        ValueError: if the method is unknown or the array has fewer than three axes.

    Reference:
        Sun et al. 2015, section 2.4.
    """
    ops, p = array_namespace(probabilities), as_array(probabilities)
    if len(p.shape) < 3:
        raise ValueError(f"`probabilities` must be (..., M, C, N). Received shape: {p.shape}")
    if method == "sci":
        return ops.max(fuse_crops(p), axis=-2)
    if method == "average":
        return ops.mean(p, axis=(-3, -2))
    if method == "single":
        return p[..., ops.shape(p)[-3] // 2, center_crop(p.shape[-2]), :]
    raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")


def center_crop(num_crops: int) -> int:
    """Returns which of the C crops is the centre one: the middle of the grid, else the first.

    Example:
        >>> center_crop(18), center_crop(9), center_crop(1)
        (4, 4, 0)

    Args:
        num_crops: C.
    """
    return CENTER_CROP if num_crops > CENTER_CROP else 0


def ranking(shares: Mapping[str, float]) -> str:
    """Returns the methods and their accuracies in one line, best first.

    Example:
        >>> ranking({"sci": 0.5, "average": 0.625})
        'averaging 62.5%, SCI fusion 50.0%'
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{LABELS[name]} {share:.1%}" for name, share in ordered)


def _check_probabilities(p: np.ndarray) -> None:
    if not np.all(np.isfinite(p)) or np.any(p < 0):
        raise ValueError(
            "`probabilities` must be finite and not negative. "
            f"Received: {p.size - np.isfinite(p).sum()} entries not finite, minimum {np.nanmin(p)}"
        )
