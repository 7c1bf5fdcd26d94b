"""Scores clips by the signature of a SavedModel that is made for it."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fstcn_keras.views.scoring import Clip


class SavedScorer:
    """Scores clips as `ViewScorer` does, by the signature `score_clips` of a SavedModel.

    Args:
        version: folder of a version of it.

    Raises:
        ValueError: if it was exported before there was such a signature.
    """

    def __init__(self, version: Path) -> None:
        self._loaded = tf.saved_model.load(version)  # holds the weights
        if "score_clips" not in self._loaded.signatures:
            raise ValueError(f"{version} has no signature `score_clips`: export it again")
        self._score = self._loaded.signatures["score_clips"]

    def score(self, wanted: Sequence[Clip]) -> dict[str, np.ndarray]:
        """Returns the outputs of the signature for every crop of some clips."""
        scores = []
        for _, alike in itertools.groupby(wanted, lambda clip: id(clip[0])):
            clips = list(alike)
            pairs = np.stack([pair for _, pair in clips]).astype(np.int32)
            found = self._score(frames=tf.constant(clips[0][0]), pairs=tf.constant(pairs))
            scores.append({name: values.numpy() for name, values in found.items()})
        return {name: np.concatenate([one[name] for one in scores]) for name in scores[0]}
