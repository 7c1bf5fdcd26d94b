"""Runs exported networks by ONNX Runtime and LiteRT."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fstcn_keras.views.plan import ViewPlan
from fstcn_keras.views.scoring import PROBABILITIES, Clip

Network = Callable[[dict[str, np.ndarray]], np.ndarray]


def load_network(file: Path) -> Network:
    """Loads an ONNX or LiteRT file.

    Args:
        file: as `fstcn_keras.export` writes it, `*.onnx` or `*.tflite`.

    Returns:
        A function from `{"clip", "clip_diff"}`, uint8 `(batch, l_t, s, s, 3)`, to probabilities,
        float32 `(batch, N)`.

    Raises:
        ImportError: if the runtime is not installed.
    """
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        return lambda views: session.run([PROBABILITIES], views)[0]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner()
    return lambda views: runner(**views)[PROBABILITIES]


class NetworkScorer:
    """Scores clips as `ViewScorer` does, every view by a whole network.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig(short_side=24, crop_size=16), num_clips=1)
        >>> scorer = NetworkScorer(lambda views: np.full((18, 2), 0.5), plan)
        >>> frames = np.zeros((40, 24, 32, 3), np.uint8)
        >>> scorer.score([(frames, plan.pair_indices(40)[0])])["probabilities"].shape
        (1, 18, 2)

    Args:
        network: as `load_network` gives it.
        plan: the views.
    """

    def __init__(self, network: Network, plan: ViewPlan) -> None:
        self._network = network
        self._plan = plan

    def score(self, wanted: Sequence[Clip]) -> dict[str, np.ndarray]:
        """Returns the probabilities for every crop of some clips, float64 `(clips, C, N)`."""
        scores = [self._network(self._plan.cut(x[first], x[later])) for x, (first, later) in wanted]
        return {PROBABILITIES: np.stack(scores).astype(np.float64)}
