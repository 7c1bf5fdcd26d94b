"""Nodes of a Ray cluster on this machine, one core each."""

import contextlib
import time
from collections.abc import Iterator

MIB = 2**20
NODE = {"num_cpus": 1, "object_store_memory": 100 * MIB, "include_dashboard": False}


class Nodes:
    """A cluster of a head, which does no work, and of nodes of a core each."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self._cluster = _again(lambda: Cluster(True, head_node_args={**NODE, "num_cpus": 0}))
        self.address = self._cluster.address
        self._nodes = []

    def add(self):
        """Starts a node."""
        self._nodes.append(_again(lambda: self._cluster.add_node(**NODE)))

    def kill(self):
        """Ends the node that was added last, and all its processes, by SIGKILL."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def close(self):
        """Ends all of them."""
        self._cluster.shutdown()


@contextlib.contextmanager
def cluster_of(count: int) -> Iterator[Nodes]:
    """A cluster of so many nodes."""
    found = Nodes()
    try:
        for _ in range(count):
            found.add()
        yield found
    finally:
        found.close()


def _again(start):
    """What it gives; Ray itself waits for a node for 30 s only, which may be busy."""
    for _ in range(5):
        with contextlib.suppress(Exception):
            return start()
        time.sleep(1)
    return start()
