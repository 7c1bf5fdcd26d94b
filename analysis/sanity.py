"""What a saliency map is worth: numbers that a picture cannot flatter.

Maps are as `attribution` makes them: not negative, `(time, height, width)` for each part.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from analysis.attribution import Clip, ClipNetwork

SQUARES = 12  # along the short side of a frame: squares of about the stride of the feature maps
STEPS = 10
RANDOM_ORDERS = 3


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Probability of the class while squares of one part are taken away or put in.

    Attributes:
        fractions: of the squares, from 0 to 1, float `(STEPS + 1,)`.
        deletion: the most salient squares are replaced first by the pixel without content.
        insertion: from all squares without content, the most salient are put in first.
        random_deletion: the same in random orders, `(RANDOM_ORDERS, STEPS + 1)`.
        random_insertion: the same, in the reverse of these orders.
    """

    fractions: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray


def area(curve: np.ndarray) -> np.ndarray:
    """Area below curves over fractions from 0 to 1, `(..., STEPS + 1)` -> `(...)`."""
    return np.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1)


def curves(
    network: ClipNetwork, clip: Clip, *, label: int, part: str, saliency: np.ndarray, seed: int
) -> Curves:
    """Deletion and insertion of one part by its map, the other part left as it is.

    Squares instead of pixels, ordered by the energy of the map in them: single pixels taken away
    in any order break the picture up, whatever they show.

    Args:
        network: with the trained weights.
        clip: the clip.
        label: of the class.
        part: which one.
        saliency: its map.
        seed: of the random orders.

    Reference:
        Petsiuk et al. 2018 (RISE), section 4.3.
    """
    squares = square_numbers(saliency.shape)
    number = squares.max() + 1
    content, nothing = clip[part], network.baselines[part]
    fractions = np.linspace(0, 1, STEPS + 1)

    def while_taking_away(order: np.ndarray) -> np.ndarray:
        rank = np.empty(number, int)
        rank[order] = np.arange(number)
        kept = [(rank[squares] >= taken)[..., None] for taken in np.rint(fractions * number)]
        clips = [clip | {part: np.where(mask, content, nothing)} for mask in kept]
        return np.array([network.probabilities(one)[label] for one in clips])

    energy = np.bincount(squares.ravel(), np.square(saliency, dtype=np.float64).ravel())
    order = np.argsort(-energy / np.bincount(squares.ravel()), kind="stable")
    generator = np.random.default_rng(seed)
    random = [while_taking_away(generator.permutation(number)) for _ in range(RANDOM_ORDERS)]
    return Curves(
        fractions=fractions,
        deletion=while_taking_away(order),
        insertion=while_taking_away(order[::-1])[::-1],
        random_deletion=np.stack(random),
        random_insertion=np.stack(random)[:, ::-1],
    )


def square_numbers(shape: tuple[int, int, int]) -> np.ndarray:
    """Number of the square that each pixel lies in, int `(time, height, width)`, from 0."""
    time, height, width = shape
    side = max(1, round(min(height, width) / SQUARES))
    rows, columns = np.arange(height) // side, np.arange(width) // side
    one_frame = rows[:, None] * (columns[-1] + 1) + columns
    return np.arange(time)[:, None, None] * (one_frame.max() + 1) + one_frame


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps, pixel by pixel; `None` if one is constant.

    Of a map and that of the same network with random weights it should be near 0: else the map
    shows the picture and the layers' geometry, not what the network has learned.

    Reference:
        Adebayo et al. 2018 (Sanity checks for saliency maps).
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def concentration(saliency: np.ndarray, inside: np.ndarray) -> float | None:
    """Energy of a map inside a region, relative to that of a uniform map.

    ```
    (sum_inside a^2 / sum a^2) / (pixels inside / pixels)
    ```

    Args:
        saliency: the map.
        inside: bool, of the same shape.

    Returns:
        1 for a uniform map, `pixels / pixels inside` for one that is zero elsewhere; `None` if
        the region is empty or the map zero.
    """
    energy = np.square(saliency, dtype=np.float64)
    if not inside.any() or energy.sum() == 0:
        return None
    return float(energy[inside].sum() / energy.sum() / inside.mean())
