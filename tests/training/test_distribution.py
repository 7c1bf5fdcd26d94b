"""`MirroredStrategy` on two logical processors trains as one device does."""

import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = """
import sys
import training
import keras, numpy as np, tensorflow as tf
from fstcn_keras import fstcn
from training.distribution import describe, device_strategy
from training.recipes import build_optimizer

count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
keras.utils.set_random_seed(0)
strategy = device_strategy(batch_size=4)
print(describe(strategy))
with strategy.scope():
    model = fstcn(num_classes=3, preset="small", paths=("temporal",), width=0.125, dropout=0.0,
                  path_units=(16, 8), joint_units=8)
    slow = model.get_layer("time_distributed_scl").variables
    optimizer = build_optimizer("sgd", learning_rate=0.1, warmup_steps=0, total_steps=3,
                                slow_variables=slow, slow_rate=0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
clips = np.random.default_rng(0).integers(0, 256, (12, 5, 108, 108, 3), dtype=np.uint8)
labels = np.arange(12) % 3
data = tf.data.Dataset.from_tensor_slices(({"clip": clips, "clip_diff": clips}, labels))
model.fit(data.batch(4), verbose=0, shuffle=False)
np.savez(sys.argv[2], *model.get_weights())
"""


def weights_on(devices: int, file: Path) -> list[np.ndarray]:
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(devices), str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert output.stdout.splitlines()[0] == ("2 CPUs" if devices == 2 else "1 CPU")
    with np.load(file) as arrays:
        return list(arrays.values())


def test_two_devices_give_the_weights_of_one(tmp_path):
    one = weights_on(1, tmp_path / "one.npz")
    two = weights_on(2, tmp_path / "two.npz")
    assert len(one) == len(two) > 10
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
