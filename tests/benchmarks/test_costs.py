"""Operations of TensorFlow's profiler, summed up by what they are part of."""

import time

import pytest
import tensorflow as tf

from benchmarks import costs
from fstcn_keras.acceleration import dispatch


@pytest.mark.parametrize(
    ("path", "operation", "expected"),
    [
        (
            "fstcn_1/frame_encoder_1/backbone_1/conv2_1/Relu",
            "MklNativeFusedConv2D",
            "conv2, forward",
        ),
        ("difference_encoder/backbone/conv1/convolution", "MklNativeConv2D", "conv1, forward"),
        (
            "gradient_tape/fstcn/frame_encoder/backbone/pool1/MaxPoolGrad",
            "MklNativeMaxPoolGrad",
            "pool1, backward",
        ),
        (
            "gradient_tape/fstcn_1/frame_encoder_1/backbone_1/conv1_1/convolution/"
            "Conv2DBackpropFilter",
            "MklNativeConv2DBackpropFilterWithBias",
            "conv1, gradient of its filter",
        ),
        (
            "gradient_tape/fstcn_1/frame_encoder_1/backbone_1/norm1_1/mul_2/Mul",
            "Mul",
            "norm1, backward",
        ),
        (
            "gradient_tape/fstcn_1/frame_encoder_1/backbone_1/conv4_1/transpose_1/transpose",
            "MklTranspose",
            "conv4, backward",
        ),
        (
            "fstcn_1/head_1/tcl_1/dropout_1/stateless_dropout/stateless_random_uniform/Mul",
            "Mul",
            "dropout, forward",
        ),
        ("fine_tuning_adam/update_0_19/Sqrt_1", "Sqrt", "update of the weights"),
        ("PyFuncStateless", "PyFuncStateless", "input pipeline"),
        ("AddN_14", "AddN", "AddN, forward, of no layer"),
    ],
)
def test_an_operation_belongs_to_its_layer(path, operation, expected):
    assert costs.describe(path, operation) == expected


def test_the_operations_of_a_call_are_timed_in_seconds():
    def wait(number):
        time.sleep(0.2)
        return number

    @tf.function
    def call():
        with tf.name_scope("network/wait"):
            return tf.numpy_function(wait, [1.0], tf.float32, name="PyFunc")

    call()
    begin = time.perf_counter()
    seconds = costs.operation_seconds(lambda: [call() for _ in range(3)])
    assert 3 * 0.2 <= seconds["wait, forward"] <= time.perf_counter() - begin


def test_compiled_functions_are_told_by_their_names():
    def square_root(x):
        return tf.sqrt(x)

    numbers = tf.random.uniform((1000, 1000))
    call = dispatch.compiled(square_root)
    call(numbers)
    assert "compiled square_root" in costs.operation_seconds(lambda: call(numbers))
