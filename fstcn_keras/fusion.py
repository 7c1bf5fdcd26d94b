"""Fusion of the scores of many views of one video (section 2.4)."""

import numpy as np

METHODS = ("sci", "average", "single")
CENTER_CROP = 4  # of the nine of `clips.crop_grid`


def sci(probabilities: np.ndarray) -> np.ndarray:
    """Sparsity concentration index: 0 for a uniform score vector, 1 for a one-hot one.

    ```
    SCI(p) = (N * max_j p_j / sum_j p_j - 1) / (N - 1)
    ```

    A single class is certain (1); a vector of zeros says nothing (0).

    Args:
        probabilities: `(..., N)`, not negative; need not sum to exactly 1.

    Returns:
        `(...)` in [0, 1], floating point.

    Raises:
        ValueError: if an entry is negative or not finite.

    Reference:
        Sun et al. 2015, equation (5).
    """
    p = np.asarray(probabilities)
    if not np.all(np.isfinite(p)) or np.any(p < 0):
        raise ValueError(
            "`probabilities` must be finite and not negative. "
            f"Received: {p.size - np.isfinite(p).sum()} entries not finite, minimum {np.nanmin(p)}"
        )
    total = p.sum(axis=-1)
    share = p.max(axis=-1) / np.where(total > 0, total, 1)
    num_classes = p.shape[-1]
    if num_classes == 1:
        return share
    return np.clip((num_classes * share - 1) / (num_classes - 1), 0, 1)


def fuse_crops(probabilities: np.ndarray) -> np.ndarray:
    """SCI-weighted mean over crops: `sum_k SCI(p_k) p_k / sum_k SCI(p_k)`.

    Where every SCI is zero, the plain mean.

    Args:
        probabilities: `(..., C, N)`.

    Returns:
        `(..., N)`.

    Reference:
        Sun et al. 2015, equation (6).
    """
    p = np.asarray(probabilities)
    weights = sci(p)[..., None]  # (..., C, 1)
    total = weights.sum(axis=-2)  # (..., 1)
    weighted = (weights * p).sum(axis=-2) / np.where(total > 0, total, 1)
    return np.where(total > 0, weighted, p.mean(axis=-2))


def fuse(probabilities: np.ndarray, method: str = "sci") -> np.ndarray:
    """Scores of a video from those of its M x C views.

    Args:
        probabilities: `(..., M, C, N)`, class probabilities of every crop of every clip.
        method: `"sci"`: SCI-weighted mean over crops (6), then the element-wise maximum over
            clips (7); `"average"`: plain mean over all views; `"single"`: the centre crop of
            the middle clip alone.

    Returns:
        `(..., N)`. After `"sci"` the scores need not sum to 1.

    Raises:
        ValueError: if the method is unknown or the array has fewer than three axes.

    Reference:
        Sun et al. 2015, section 2.4.
    """
    p = np.asarray(probabilities)
    if p.ndim < 3:
        raise ValueError(f"`probabilities` must be (..., M, C, N). Received shape: {p.shape}")
    if method == "sci":
        return fuse_crops(p).max(axis=-2)
    if method == "average":
        return p.mean(axis=(-3, -2))
    if method == "single":
        crop = CENTER_CROP if p.shape[-2] > CENTER_CROP else 0
        return p[..., p.shape[-3] // 2, crop, :]
    raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
