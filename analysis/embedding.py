"""t-SNE maps of features, and how far they can be trusted (van der Maaten and Hinton 2008)."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import procrustes
from threadpoolctl import threadpool_limits

COMPONENTS = 50  # of the PCA before t-SNE
PERPLEXITY = 30.0  # of many videos
TRUST_NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class Map:
    """A t-SNE map, the best of several seeds, and what the others say of it.

    Attributes:
        points: float `(V, 2)`.
        seed: that of this map.
        perplexity: of t-SNE.
        trustworthiness: share of the neighbourhoods in the map that are true, 0 to 1, mean over
            all seeds; 1 less a penalty for near points that are no near ones in the features
            (Venna and Kaski 2001).
        procrustes: mean distance of this map to that of each other seed, 0 for the same shape, 1
            for none in common: the sum of squared distances after both are centred, scaled to
            norm 1, turned and mirrored to fit.
    """

    points: np.ndarray
    seed: int
    perplexity: float
    trustworthiness: float
    procrustes: float


# on busy processors t-SNE's threads wait for one another at every one of its small steps
@threadpool_limits.wrap(limits=1, user_api="openmp")
def embed(features: np.ndarray, *, seeds: range) -> Map:
    """Maps the features from several random starts, and keeps the map of lowest divergence.

    PCA to at most `COMPONENTS` dimensions comes first. The perplexity is `PERPLEXITY`, or a
    third of the number of the other videos where that is less.

    Args:
        features: `(V, units)`, V at least 4.
        seeds: of the maps, two or more.
    """
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    components = min(COMPONENTS, *features.shape)
    from sklearn.decomposition import PCA  # takes seconds: not for `--help`
    from sklearn.manifold import TSNE, trustworthiness

    reduced = PCA(components, svd_solver="full").fit_transform(features)
    runs = {
        seed: TSNE(perplexity=perplexity, init="random", random_state=seed).fit(reduced)
        for seed in seeds
    }
    best = min(runs, key=lambda seed: runs[seed].kl_divergence_)
    points = runs[best].embedding_
    others = [run.embedding_ for seed, run in runs.items() if seed != best]
    neighbours = min(TRUST_NEIGHBOURS, (len(features) - 1) // 2)  # fewer than half of the videos
    trust = [trustworthiness(features, r.embedding_, n_neighbors=neighbours) for r in runs.values()]
    return Map(
        points=points,
        seed=best,
        perplexity=perplexity,
        trustworthiness=float(np.mean(trust)),
        procrustes=float(np.mean([procrustes(points, other)[2] for other in others])),
    )
