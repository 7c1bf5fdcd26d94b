"""Writes networks in int8, their ranges of numbers taken from views of videos.

Weights and what the convolutions and matrix products compute become int8; what lies between them
stays float32 in ONNX. LiteRT takes int8 wherever it has such an operation. Inputs stay uint8 and
probabilities float32, so that the file takes the place of the float32 one.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Views = dict[str, np.ndarray]  # by input, uint8 (1, l_t, s, s, 3)
ONNX_OPERATIONS = ["Conv", "Gemm", "MatMul"]


def litert_options(views: Sequence[Views]) -> dict[str, Any]:
    """Returns the settings by which TensorFlow's converter quantises after training.

    Example:
        >>> sorted(litert_options([]))
        ['optimizations', 'representative_dataset']

    Args:
        views: to run the network on.
    """
    import tensorflow as tf

    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: iter(views),
    }


def quantize_onnx(source: Path, target: Path, views: Sequence[Views]) -> None:
    """Writes an ONNX file in int8 with the nodes QuantizeLinear and DequantizeLinear.

    Args:
        source: the file in float32.
        target: the file to write.
        views: to run the network on.

    Raises:
        ImportError: if ONNX Runtime is not installed.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._views: Iterator[Views] = iter(views)

        def get_next(self) -> Views | None:
            return next(self._views, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            op_types_to_quantize=ONNX_OPERATIONS,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
