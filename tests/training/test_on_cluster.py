"""Work on a cluster: what is checked before, and how it is given out by a fake of Ray."""

import os
import signal
import socket
import sys
from types import SimpleNamespace

import pytest

from training import cli, on_cluster
from training.errors import UserError
from training.on_cluster import ClusterOptions, spread


class FakeRay:
    """Does tasks at once, in this process, and notes how many wait to be asked for."""

    def __init__(self, cores: int):
        self.cores = cores
        self.addresses = ["10.0.0.1", "10.0.0.2"]
        self.waiting: dict[int, list] = {}
        self.most = 0
        self.sizes: list[int] = []
        self.cancelled: list[int] = []
        self.exceptions = SimpleNamespace(RayTaskError=ZeroDivisionError, RayError=OSError)

    def cluster_resources(self):
        return {"CPU": float(self.cores)}

    def nodes(self):
        return [
            {"NodeID": address, "NodeManagerAddress": address, "Alive": True}
            for address in self.addresses
        ]

    def remote(self, **needs):
        assert (needs["num_cpus"], needs["num_gpus"], needs["max_calls"]) == (1, 0, 0)
        return lambda function: SimpleNamespace(remote=self._call)

    def _call(self, work: bytes, items: list) -> int:
        number = len(self.sizes)
        self.sizes.append(len(items))
        self.waiting[number] = [item**2 for item in items]
        self.most = max(self.most, len(self.waiting))
        return number

    def wait(self, tasks, num_returns):
        return [max(tasks)], []  # another order than theirs

    def get(self, task):
        return self.waiting.pop(task)

    def cancel(self, task, force):
        self.cancelled.append(task)


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    fake = FakeRay(cores=3)
    monkeypatch.setattr(on_cluster, "ray_package", lambda: fake)
    return fake


def test_every_item_comes_once_and_few_tasks_wait(ray):
    found = list(spread(tuple, range(5000), shared=()))
    assert sorted(found) == [number**2 for number in range(5000)]
    assert ray.most == 2 * ray.cores
    assert max(ray.sizes) == on_cluster.MAX_ITEMS
    assert ray.cancelled == []


def test_few_items_are_divided_over_all_cores(ray):
    assert len(list(spread(tuple, range(30), shared=()))) == 30
    assert ray.sizes[:6] == [3, 3, 2, 2, 2, 2]  # a fourth of a core's share of the rest
    assert ray.sizes[-12:] == [1] * 12


def test_fewer_cores_get_fewer_tasks(ray):
    results = spread(tuple, range(5000), shared=())
    found = [next(results)]
    ray.cores = 1
    found += [next(results) for _ in range(32 * 8)]
    assert len(ray.waiting) <= 2
    assert len([*found, *results]) == 5000


def test_what_is_not_asked_for_is_cancelled(ray):
    results = spread(tuple, range(5000), shared=())
    next(results)
    results.close()
    assert sorted([*ray.cancelled, 5]) == [0, 1, 2, 3, 4, 5]


def test_a_node_that_is_gone_is_named_once(ray, capsys):
    results = spread(tuple, range(100), shared=())
    next(results)
    del ray.addresses[1]
    assert len(list(results)) == 99
    assert capsys.readouterr().err == (
        "warning: the node 10.0.0.2 was lost: what it had begun is tried elsewhere\n"
    )


def test_a_full_disk_of_another_machine_is_told_as_of_this_one():
    class TaskError(Exception):
        cause = OSError(28, "No space left on device", "store")

    def get(task):
        raise TaskError("a traceback of many lines")

    fake = SimpleNamespace(get=get, exceptions=SimpleNamespace(RayTaskError=TaskError))
    with pytest.raises(OSError, match="No space left on device: 'store'"):
        on_cluster.result(fake, None)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "s3://bucket", "AUTO"])
def test_an_address_is_that_of_a_cluster(address):
    with pytest.raises(UserError, match="--cluster must be auto, local or HOST:PORT, got"):
        ClusterOptions(cluster=address)


ADVICE = (
    ". Give the address that 'ray start --head' has printed on the first machine, auto on a "
    "machine of a cluster, or local for this machine alone"
)


def test_where_nothing_listens_ray_does_not_try(monkeypatch):
    monkeypatch.setattr(on_cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(on_cluster, "ray_package", lambda: pytest.fail("it tries for minutes"))
    with socket.socket() as taken:  # and deaf
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError) as raised:
            on_cluster.connected(ClusterOptions(cluster=address)).__enter__()
    refused = f"--cluster {address} cannot be reached: [Errno 111] Connection refused"
    assert str(raised.value) == refused + ADVICE


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("auto", f"--cluster auto cannot be reached: There is none{ADVICE}"),
        ("local", "--cluster local cannot be reached: There is none"),
    ],
)
def test_what_ray_says_of_other_commands_is_left_out(monkeypatch, cluster, message):
    def init(*_, **__):
        raise ConnectionError("There is none. Please specify one by `--address`.")

    monkeypatch.setattr(on_cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    fake = SimpleNamespace(init=init, shutdown=lambda: None)
    monkeypatch.setattr(on_cluster, "ray_package", lambda: fake)
    with pytest.raises(UserError) as raised:
        on_cluster.connected(ClusterOptions(cluster=cluster)).__enter__()
    assert str(raised.value) == message
    once = on_cluster.ONCE.items() <= os.environ.items()
    assert once == (cluster == "auto")  # a new head may take longer to start


@pytest.mark.parametrize("sent", [True, False])
def test_the_exit_code_of_sigterm_is_not_rays(sent):
    def work():
        """As `ray.wait` does."""
        try:
            if sent:
                signal.raise_signal(signal.SIGTERM)
            sys.exit(0)  # of a command that is done
        except SystemExit as ended:
            sys.exit(1 if ended.code else 0)

    def answer(*_):
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, answer)
    try:
        with pytest.raises(SystemExit) as ended, on_cluster._exit_code_kept(answer):
            work()
        assert signal.getsignal(signal.SIGTERM) is answer
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == (143 if sent else 0)


def test_without_ray_one_line_names_the_extra(monkeypatch, capsys):
    monkeypatch.setattr(on_cluster.importlib.util, "find_spec", lambda name: None)
    from training import prepare

    with pytest.raises(SystemExit) as ended:
        cli.run(
            prepare.main,
            prepare.PrepareOptions,
            ["--cluster", "auto"],
            cluster_options=ClusterOptions,
        )
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: --cluster needs Ray: pip install 'fstcn-keras[cluster]'\n"
    )


@pytest.mark.parametrize("argument", ["--store=s3://bucket/store", "--data-dir=gs://bucket/videos"])
def test_an_address_is_no_folder(argument, capsys):
    from training import prepare

    with pytest.raises(SystemExit):
        cli.run(prepare.main, prepare.PrepareOptions, [argument])
    error = capsys.readouterr().err
    assert error.startswith(f"error: {argument.replace('=', ' ')} is an address, not a folder")
