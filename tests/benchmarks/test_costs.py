"""Operations of TensorFlow's profiler, summed up by what they are part of."""

import time

import pytest
import tensorflow as tf

from benchmarks import costs


@pytest.mark.parametrize(
    ("path", "operation", "expected"),
    [
        ("NETWORK/conv2_1/Relu", "MklNativeFusedConv2D", "conv2, forward"),
        ("difference_encoder/backbone/conv1/convolution", "MklNativeConv2D", "conv1, forward"),
        ("gradient_tape/NETWORK/pool1_1/MaxPoolGrad", "MklNativeMaxPoolGrad", "pool1, backward"),
        (
            "gradient_tape/NETWORK/conv1_1/convolution/Conv2DBackpropFilter",
            "MklNativeConv2DBackpropFilterWithBias",
            "conv1, gradient of its filter",
        ),
        ("gradient_tape/NETWORK/norm1_1/mul_2/Mul", "Mul", "norm1, backward"),
        ("gradient_tape/NETWORK/conv4_1/transpose_1/a", "MklTranspose", "conv4, backward"),
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
    path = path.replace("NETWORK", "fstcn_1/frame_encoder_1/backbone_1")
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
