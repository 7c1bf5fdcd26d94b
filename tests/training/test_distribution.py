"""Several devices and several machines train as one device does."""

import contextlib
import json
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.processes import HANG_S, start_python
from tests.videos import noise, write_video
from training.data.preparation import prepare_store

# Two epochs of a small network without dropout; 9 videos in batches of 4, so that the last step
# of an epoch begins the next one's videos.
SCRIPT = """
import sys
from pathlib import Path
from fstcn_keras.process import set_up_process
set_up_process(tensorflow=True)
import keras, numpy as np, tensorflow as tf
from fstcn_keras import fstcn
from fstcn_keras.config import preset_config
from fstcn_keras.runs import RunFolder
from training.data.collections import Video
from training.data.samplers import CenterSampler, ClipPairs, TrainingSampler
from training.data.preparation import prepare_store
from training.distribution import describe, device_strategy
from training.loop import Stage, train
from training.optimizers import build_optimizer

root, run, devices = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
tf.config.experimental.enable_op_determinism()
strategy = device_strategy()
print(describe(strategy))
keras.utils.set_random_seed(0)
small = dict(width=0.125, dropout=0.0, path_units=(16, 8), joint_units=8)
paths = sorted(path.relative_to(root).as_posix() for path in root.glob("c/*.avi"))
videos = [Video(path, number % 3, "train", path) for number, path in enumerate(paths)]
store = prepare_store(root / "store", root, paths, short_side=120, encoding="raw")
sample = ClipPairs(preset_config("small", **small))
with strategy.scope():
    model = fstcn(num_classes=3, preset="small", paths=("temporal",), **small)
    tcl = model.head.get_layer("tcl")
    optimizer = build_optimizer("sgd", learning_rate=0.1, warmup_steps=0, total_steps=6,
                                rates={tcl.trainable_variables[0].path: 0.1})
    optimizer.build(model.trainable_variables)
stage = Stage(name="global", network=model, model=model, optimizer=optimizer,
              sampler=TrainingSampler(store, videos, sample, seed=[0]),
              held_out=CenterSampler(store, videos[:5], sample),
              epochs=2, steps_per_epoch=3, batch_size=4)
run.mkdir(exist_ok=True)
train(stage, strategy, RunFolder(run), minutes=100)
"""


# Both paths with dropout, on two replicas, whose frames are printed as they are drawn: two epochs,
# and the second again from the checkpoint of the first.
RANDOM = (
    SCRIPT[: SCRIPT.index("sample =")].replace("dropout=0.0", "dropout=0.5")
    + """
import shutil
from training.distribution import is_chief, sum_over_workers
randint = keras.random.randint
def printed(*arguments, **keywords):
    drawn = randint(*arguments, **keywords)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    tf.print("frames of", replica, drawn, output_stream=sys.stdout, summarize=-1)
    return drawn

def trained(run):
    keras.utils.set_random_seed(0)
    sample = ClipPairs(preset_config("small", **small))
    with strategy.scope():
        model = fstcn(num_classes=3, preset="small", **small)
        optimizer = build_optimizer("sgd", learning_rate=0.1, warmup_steps=0, total_steps=6,
                                    rates={})
        optimizer.build(model.trainable_variables)
    stage = Stage(name="global", network=model, model=model, optimizer=optimizer,
                  sampler=TrainingSampler(store, videos, sample, seed=[0]), held_out=None,
                  epochs=2, steps_per_epoch=3, batch_size=4)
    run.mkdir(exist_ok=True, parents=True)
    train(stage, strategy, RunFolder(run), minutes=100)
    return model

keras.random.randint = printed
model = trained(run / "whole")
keras.random.randint = randint

def mask():
    layer = model.head.get_layer("temporal_fc_dropout")
    return layer(tf.ones((1, 64)), training=True) > 0

for drawn in strategy.experimental_local_results(strategy.run(mask)):
    print("mask", "".join(map(str, drawn.numpy().astype(int)[0])))
if is_chief(strategy):
    shutil.copytree(run / "whole", run / "stopped")
    (run / "stopped" / "checkpoints" / "global-00000006.npz").unlink()
sum_over_workers(strategy, 0)  # all find the copy
trained(run / "stopped")
"""
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for number in range(9):
        write_video(root / "c" / f"{number}.avi", noise(12, height=120, width=140, seed=number))
    paths = [f"c/{number}.avi" for number in range(9)]
    prepare_store(root / "store", root, paths, short_side=120, encoding="raw")
    return root


@pytest.fixture(scope="module")
def one(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("one") / "run"
    assert outputs([start(root, run)])[0].startswith("1 CPU\n")
    return run


def start(
    root: Path, run: Path, *, devices: int = 1, script: str = SCRIPT, **environment: str
) -> subprocess.Popen:
    return start_python("-c", script, root, run, devices, **environment)


def outputs(processes: list[subprocess.Popen]) -> list[str]:
    ended = [process.communicate(timeout=HANG_S) for process in processes]
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [output for output, _ in ended]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def assert_same(one: Path, other: Path):
    name = "checkpoints/global-00000006.npz"
    with np.load(one / name) as a, np.load(other / name) as b:
        assert set(a) == set(b)
        assert len(a) > 20
        for key in set(a) - {"state"}:
            np.testing.assert_allclose(a[key], b[key], rtol=1e-4, atol=1e-5, err_msg=key)
        states = [json.loads(str(arrays["state"])) for arrays in (a, b)]
    for row, other_row in zip(*(state["history"] for state in states), strict=True):
        assert row.pop("stage") == other_row.pop("stage") == "global"
        assert row == pytest.approx(other_row, rel=1e-4)


def test_two_devices_give_the_weights_of_one(root, one, tmp_path):
    (output,) = outputs([start(root, tmp_path / "two", devices=2)])
    assert output.startswith("2 CPUs\n")
    assert_same(one, tmp_path / "two")


def workers_of_two(root: Path, run: Path, **keywords: str) -> list[subprocess.Popen]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": n}} for n in range(2)]
    return [start(root, run, TF_CONFIG=json.dumps(task), **keywords) for task in tasks]


def test_two_workers_give_the_weights_of_one(root, one, tmp_path):
    for output in outputs(workers_of_two(root, tmp_path / "two")):
        assert output.startswith("2 CPUs of 2 workers\n")
    assert_same(one, tmp_path / "two")


@pytest.mark.parametrize("workers", [1, 2])
def test_each_replica_draws_its_own_frames_and_masks_and_goes_on_with_them(root, tmp_path, workers):
    if workers == 1:
        processes = [start(root, tmp_path, devices=2, script=RANDOM)]
    else:
        processes = workers_of_two(root, tmp_path, script=RANDOM)
    lines = [line for output in outputs(processes) for line in output.splitlines()]
    frames = [
        [line.split(" ", 3)[3] for line in lines if line.startswith(f"frames of {replica} ")]
        for replica in (0, 1)
    ]
    assert len(frames[0]) == len(frames[1]) == 6  # steps, of two clips each
    assert frames[0] != frames[1]
    one, other = (line for line in lines if line.startswith("mask "))
    assert one != other
    with (
        np.load(tmp_path / "whole" / "checkpoints" / "global-00000006.npz") as whole,
        np.load(tmp_path / "stopped" / "checkpoints" / "global-00000006.npz") as stopped,
    ):
        assert any("seed_generator_state" in key for key in whole)
        for key in set(whole) - {"state"}:
            np.testing.assert_array_equal(whole[key], stopped[key], err_msg=key)
