"""The benchmark of what Ray costs: its commands and its table, without a cluster."""

from pathlib import Path

import pytest

from benchmarks import cluster
from training import cli
from training.on_cluster import ClusterOptions
from training.predict import PredictOptions
from training.prepare import PrepareOptions


def test_ratios_are_to_the_median_of_one_machine():
    times = {"one machine": [10.0, 30.0, 20.0], "cluster": [23.0, 22.0, 40.0], "lost": [25.0]}
    options = cluster.ClusterBenchmarkOptions(videos=8, nodes=2)
    rows = cluster.table("prepare", options, times)
    assert [row["ratio"] for row in rows] == ["1.00", "1.15", "1.25"]
    assert [row["nodes"] for row in rows] == [1, 2, 2]
    assert rows[1] | {"ratio": ""} == {
        **{"command": "prepare", "where": "cluster", "videos": 8, "nodes": 2, "runs": 3},
        **{"median_s": "23.0", "fastest_s": "22.0", "ratio": ""},
    }


@pytest.mark.parametrize(
    ("command", "options"), [(cluster.prepare, PrepareOptions), (cluster.predict, PredictOptions)]
)
def test_the_commands_take_their_arguments(command, options, tmp_path):
    _, *arguments = command(Path("folder"), "one")
    values = cli.parse_values(options, [*arguments, "--cluster", "127.0.0.1:6379"], ClusterOptions)
    assert values["cluster"] == "127.0.0.1:6379"
