"""Operations of TensorFlow's profiler, summed up by what they are part of."""

import pytest
import tensorflow as tf

from benchmarks import costs
from fstcn_keras.acceleration import dispatch


@pytest.mark.parametrize(
    ("path", "operation", "expected"),
    [
        ("fstcn_1/scl_1/conv2_1/Relu", "MklNativeFusedConv2D", "conv2, forward"),
        ("fstcn/scl/conv1/convolution", "MklNativeConv2D", "conv1, forward"),
        ("gradient_tape/fstcn/scl/pool1/MaxPoolGrad", "MklNativeMaxPoolGrad", "pool1, backward"),
        (
            "gradient_tape/fstcn_1/scl_1/conv1_1/convolution/Conv2DBackpropFilter",
            "MklNativeConv2DBackpropFilterWithBias",
            "conv1, gradient of its filter",
        ),
        ("gradient_tape/fstcn_1/scl_1/norm1_1/mul_2/Mul", "Mul", "norm1, backward"),
        ("fine_tuning_adam/update_0_19/Sqrt_1", "Sqrt", "update of the weights"),
        ("PyFuncStateless", "PyFuncStateless", "input pipeline"),
        ("AddN_14", "AddN", "AddN, forward, of no layer"),
    ],
)
def test_an_operation_belongs_to_its_layer(path, operation, expected):
    assert costs.describe(path, operation) == expected


def test_the_operations_of_a_call_are_timed():
    matrix = tf.random.normal((400, 400))

    @tf.function
    def call():
        with tf.name_scope("network/dense"):
            return tf.linalg.matmul(matrix, matrix, name="MatMul")

    call()
    seconds = costs.operation_seconds(lambda: [call() for _ in range(50)])
    assert 0 < seconds["dense, forward"] < 60


def test_compiled_functions_are_timed():
    def square_root(x):
        return tf.sqrt(x)

    numbers = tf.random.uniform((1000, 1000))
    call = dispatch.compiled(square_root)
    call(numbers)
    seconds = costs.operation_seconds(lambda: [call(numbers) for _ in range(50)])
    assert 0 < seconds["compiled square_root"] < 60
