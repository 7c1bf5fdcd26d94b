"""Commands on nodes of a Ray cluster: the results of one machine, also where a node is killed."""

import csv
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ray_nodes import Nodes, cluster_of
from tests.processes import HANG_S, run_command, start_python
from tests.training.colours import COLOURS, coloured
from tests.training.runs import assert_same_runs, fit_arguments
from tests.training.test_prepare import digests
from tests.videos import noise, write_noise_folder, write_video
from training import cluster_jobs, on_cluster
from training.on_cluster import ClusterOptions
from training.parallel import map_processes

pytest.importorskip("ray", reason="needs Ray: pip install -e '.[cluster]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes():
    with cluster_of(2) as nodes:
        yield nodes


def on(nodes: Nodes) -> tuple[str, str]:
    return ("--cluster", nodes.address)


def started_until(condition, nodes: Nodes, module: str, *arguments: object):
    """A command on the nodes, which runs, and for which the condition holds by now."""
    process = start_python("-m", module, *arguments, *on(nodes))
    started = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - started < HANG_S
        time.sleep(0.02)
    return process


def interrupt_when(condition, nodes: Nodes, module: str, *arguments: object):
    """Runs a command, and ends it by Ctrl-C once the condition holds."""
    process = started_until(condition, nodes, module, *arguments)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert errors.endswith("interrupted; to go on, give the same command again\n")


def kill_when(condition, nodes: Nodes, module: str, *arguments: object, killed: int = 1) -> str:
    """Runs a command, and kills nodes once the condition holds; others stand in for them.

    Gives what it prints as errors: Ray may learn of the loss when short work is done already.
    """
    process = started_until(condition, nodes, module, *arguments)
    for _ in range(killed):
        nodes.kill()
    assert process.poll() is None
    for _ in range(killed):
        nodes.add()
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(60):
        write_video(folder / f"class{number % 2}" / f"{number}.avi", noise(9, seed=number), fps=10)
    (folder / "class0" / "text.avi").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def store(videos, tmp_path_factory) -> Path:
    """Made on one machine."""
    store = tmp_path_factory.mktemp("one") / "store"
    done = run_command("training.prepare", *folder_arguments(videos), "--store", store)
    assert done.returncode == 0, done.stderr
    return store


def folder_arguments(videos: Path) -> tuple[str, ...]:
    return ("--dataset", "folder", "--data-dir", str(videos))


def test_a_store_is_that_of_one_machine(nodes, videos, store, tmp_path):
    arguments = (*folder_arguments(videos), "--store", tmp_path / "many")
    done = run_command("training.prepare", *arguments, *on(nodes))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == "working on 3 nodes, 2 cores"
    assert digests(tmp_path / "many") == digests(store)


def test_ctrl_c_ends_the_command_and_the_next_goes_on(nodes, videos, store, tmp_path):
    folder = tmp_path / "many"
    arguments = (*folder_arguments(videos), "--store", folder)
    interrupt_when(
        lambda: len([*folder.glob("videos/*/*.array_record")]) >= 3,
        nodes,
        "training.prepare",
        *arguments,
    )
    assert digests(folder).keys() < digests(store).keys()
    done = run_command("training.prepare", *arguments, *on(nodes))
    assert done.returncode == 0, done.stderr
    assert digests(folder) == digests(store)


def test_sigterm_ends_the_command_with_its_own_exit_code(nodes, videos, tmp_path):
    arguments = (*folder_arguments(videos), "--store", tmp_path / "many")
    files = (tmp_path / "many").glob
    process = started_until(
        lambda: any(files("videos/*/*.array_record")), nodes, "training.prepare", *arguments
    )
    process.terminate()
    process.communicate(timeout=HANG_S)
    assert process.returncode == 143


def test_a_killed_node_costs_a_store_nothing(nodes, videos, store, tmp_path):
    folder = tmp_path / "many"
    kill_when(
        lambda: len([*folder.glob("videos/*/*.array_record")]) > 10,
        nodes,
        "training.prepare",
        *folder_arguments(videos),
        *("--store", folder),
    )
    assert digests(folder) == digests(store)


def test_four_nodes_of_which_two_are_killed(
    videos, store, colour_run, coloured_videos, table, tmp_path
):
    folder, many = tmp_path / "many", tmp_path / "scores.csv"
    with cluster_of(4) as nodes:
        kill_when(
            lambda: len([*folder.glob("videos/*/*.array_record")]) > 5,
            nodes,
            "training.prepare",
            *folder_arguments(videos),
            *("--store", folder),
            killed=2,
        )
        arguments = (colour_run, coloured_videos, "--out", many)
        done = run_command("training.predict", *arguments, *on(nodes))
    assert digests(folder) == digests(store)
    assert done.returncode == 0, done.stderr
    assert_same_rows(many, table)


def test_what_kills_its_process_is_given_up_and_errors_arrive(nodes, tmp_path):
    with on_cluster.connected(ClusterOptions(cluster=nodes.address)):
        found = set(map_processes(job, range(12), killed=minus, description="t", shared=[tmp_path]))
        assert found == {*range(12), -7} - {7}
        missing = tmp_path / "missing"
        with pytest.raises(on_cluster.UserError, match=f"{missing} is not there on the machine"):
            list(map_processes(job, range(12), killed=minus, description="t", shared=[missing]))


def job(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def minus(number: int) -> int:
    return -number


@pytest.fixture(scope="module")
def coloured_videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    for number in range(60):
        seconds = [COLOURS[number % 3], COLOURS[(number + number // 3) % 3]]
        write_video(folder / f"{number}.avi", coloured(*seconds), fps=10)
    return folder


def rows_of(table: Path) -> dict[str, dict[str, str]]:
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["video"] for row in rows}) == len(rows)
    return {row["video"]: row for row in rows}


def assert_same_rows(one: Path, two: Path):
    one, two = rows_of(one), rows_of(two)
    assert one.keys() == two.keys()
    for name, row in one.items():
        for column, value in row.items():
            if column.startswith("score"):
                assert float(two[name][column]) == pytest.approx(float(value), abs=2e-6)
            else:
                assert two[name][column] == value


@pytest.fixture(scope="module")
def table(colour_run, coloured_videos, tmp_path_factory) -> Path:
    """Made on one machine."""
    table = tmp_path_factory.mktemp("table") / "scores.csv"
    done = run_command("training.predict", colour_run, coloured_videos, "--out", table)
    assert done.returncode == 0, done.stderr
    return table


def test_predictions_are_those_of_one_machine(nodes, colour_run, coloured_videos, table, tmp_path):
    many = tmp_path / "scores.csv"
    arguments = (colour_run, coloured_videos, "--out", many)
    done = run_command("training.predict", *arguments, *on(nodes))
    assert done.returncode == 0, done.stderr
    assert_same_rows(many, table)


def test_a_killed_node_costs_no_prediction(nodes, colour_run, coloured_videos, table, tmp_path):
    def some_are_done() -> bool:
        return any(len(file.read_bytes().splitlines()) > 10 for file in tmp_path.glob("partial*"))

    many = tmp_path / "scores.csv"
    arguments = (colour_run, coloured_videos, "--out", many)
    kill_when(some_are_done, nodes, "training.predict", *arguments)
    assert_same_rows(many, table)


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> tuple[Path, Path]:
    """Videos, and the runs of two folds of them, of one machine."""
    data = write_noise_folder(tmp_path_factory.mktemp("data"), 12)
    out = tmp_path_factory.mktemp("one") / "folds"
    done = run_command("training.fit", *fit_arguments(data, out, *TWO_FOLDS))
    assert done.returncode == 0, done.stderr
    return data, out


FOLDS = ("fold1", "fold2")
TWO_FOLDS = ("--paths", "temporal", "--folds", "2", "--epochs", "3", "--checkpoint-minutes", "0")


def test_folds_trained_side_by_side_are_those_of_one_machine(nodes, folds, tmp_path):
    data, one = folds
    arguments = fit_arguments(data, tmp_path / "folds", *TWO_FOLDS)
    done = run_command("training.fit", *arguments, *on(nodes))
    assert done.returncode == 0, done.stderr
    for fold in FOLDS:
        assert_same_runs(one / fold, tmp_path / "folds" / fold)
        assert f"{fold}: training temporal of preset small" in done.stdout
        assert f"{fold}: results in {tmp_path / 'folds' / fold}" in done.stdout
    assert (tmp_path / "folds" / "splits.json").exists()


def test_a_killed_node_costs_a_training_its_last_steps(nodes, folds, tmp_path):
    def both_have_begun() -> bool:
        return {file.parents[1].name for file in out.glob("*/checkpoints/*")} == {*FOLDS}

    data, one = folds
    out = tmp_path / "folds"
    kill_when(both_have_begun, nodes, "training.fit", *fit_arguments(data, out, *TWO_FOLDS))
    for fold in FOLDS:
        assert_same_runs(one / fold, out / fold)
    started = [(out / fold / "log.txt").read_text().count("training temporal") for fold in FOLDS]
    assert sorted(started) == [1, 2]


@pytest.fixture(scope="module")
def by_two_workers(nodes, folds, tmp_path_factory) -> Path:
    """A run that two nodes have trained together."""
    data, _ = folds
    out = tmp_path_factory.mktemp("together") / "run"
    done = run_command("training.fit", *fit_arguments(data, out, *TOGETHER), *on(nodes))
    assert done.returncode == 0, done.stderr
    assert "training temporal of preset small" in done.stdout
    assert "on 2 CPUs of 2 workers" in done.stdout
    found = done.stdout.splitlines()
    assert found[1:-1] == (out / "log.txt").read_text().splitlines()
    once = [line for line in found[1:] if not line.startswith("waiting for another process")]
    assert len({*once}) == len(once)
    assert not [*out.glob(".ray*")]
    return out


# SGD, for Adam makes much of rounding where gradients are small
SGD = ("--optimizer", "sgd", "--learning-rate", "0.001")
TOGETHER = (*("--paths", "temporal", "--dropout", "0", "--epochs", "4"), *SGD, "--workers", "2")


def test_two_workers_give_the_weights_of_one_machine(folds, by_two_workers, tmp_path):
    data, _ = folds
    out = tmp_path / "run"
    done = run_command("training.fit", *fit_arguments(data, out, *TOGETHER[:-2]))
    assert done.returncode == 0, done.stderr
    name = "checkpoints/global-00000008.npz"
    with np.load(out / name) as one, np.load(by_two_workers / name) as two:
        assert set(one) == set(two)
        for key in set(one) - {"state"}:
            np.testing.assert_allclose(two[key], one[key], rtol=1e-4, atol=1e-5, err_msg=key)
        states = [json.loads(str(arrays["state"])) for arrays in (one, two)]
    for row, other in zip(*(state["history"] for state in states), strict=True):
        assert row.pop("stage") == other.pop("stage")
        assert row == pytest.approx(other, rel=1e-4)


def test_a_killed_node_costs_a_common_training_its_last_steps(
    nodes, folds, by_two_workers, tmp_path
):
    def some_steps_are_done() -> bool:
        return any(step_of(file) >= 2 for file in out.glob("checkpoints/global-*.npz"))

    data, _ = folds
    out = tmp_path / "run"
    arguments = fit_arguments(data, out, *TOGETHER, "--checkpoint-minutes", "0")
    errors = kill_when(some_steps_are_done, nodes, "training.fit", *arguments)
    assert errors.count("was lost: what it had begun is tried elsewhere") == 1
    assert_same_runs(by_two_workers, out, "global-00000008")
    assert (out / "log.txt").read_text().count("training temporal") == 2


def step_of(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def test_more_workers_than_there_is_room_for(nodes, folds, tmp_path):
    data, _ = folds
    arguments = fit_arguments(data, tmp_path / "run", *TOGETHER[:-1], "3")
    done = run_command("training.fit", *arguments, *on(nodes))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: --workers 3: the cluster has room for 2, of 1 core each: give no more, or start "
        "Ray on more machines"
    )


def test_an_error_of_a_worker_is_told_once(nodes, folds, tmp_path):
    data, _ = folds
    out = tmp_path / "run"
    arguments = fit_arguments(data, out, *TOGETHER, "--batch-size", "5")
    done = run_command("training.fit", *arguments, *on(nodes))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: --batch-size 5 does not divide over 2 devices: give a multiple of 2"
    )


def test_only_the_loss_of_workers_is_tried_again():
    from ray.exceptions import RayActorError
    from ray.train import ControllerError, WorkerGroupError

    lost = RayActorError()
    cluster_jobs._raise_own(WorkerGroupError("", {0: lost, 1: lost}))
    failures = {0: lost, 1: OSError("full"), 2: cluster_jobs.UserError("a mistake")}
    with pytest.raises(cluster_jobs.UserError, match="a mistake"):
        cluster_jobs._raise_own(WorkerGroupError("", failures))
    with pytest.raises(OSError, match="full"):
        cluster_jobs._raise_own(WorkerGroupError("", {0: lost, 1: OSError("full")}))
    with pytest.raises(ControllerError):
        cluster_jobs._raise_own(ControllerError(OSError("no code")))


def test_ctrl_c_ends_a_common_training_and_the_next_goes_on(nodes, folds, by_two_workers, tmp_path):
    data, _ = folds
    out = tmp_path / "run"
    arguments = fit_arguments(data, out, *TOGETHER, "--checkpoint-minutes", "0")
    interrupt_when(
        lambda: any(out.glob("checkpoints/global-*.npz")), nodes, "training.fit", *arguments
    )
    done = run_command("training.fit", *arguments, *on(nodes))
    assert done.returncode == 0, done.stderr
    assert not [*out.glob(".ray*")]
    assert_same_runs(by_two_workers, out, "global-00000008")


def test_an_evaluation_is_that_of_one_machine(nodes, folds, tmp_path):
    _, one = folds
    run = tmp_path / "run"
    shutil.copytree(one / "fold1", run)
    (run / "scores.npz").unlink()
    done = run_command("training.evaluate", run, *on(nodes))
    assert done.returncode == 0, done.stderr
    with np.load(one / "fold1" / "scores.npz") as a, np.load(run / "scores.npz") as b:
        assert a["paths"].tolist() == b["paths"].tolist()
        np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-6)
    assert (run / "metrics.json").exists()
