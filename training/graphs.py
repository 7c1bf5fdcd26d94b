"""The memory of TensorFlow's graphs."""

import contextlib
import gc

from tensorflow.python.framework import ops


@contextlib.contextmanager
def graphs_released():
    """Lets go, at the end, of the graphs that were made within, and so of their variables.

    TensorFlow keeps the custom gradients of a graph, such as those of LRN and of a sum over
    replicas, in a registry for as long as the process lives, and with them the graph and all its
    variables: a process that trains several networks would grow by each of them.
    """
    gradients = ops.gradient_registry._registry
    before = set(gradients)
    try:
        yield
    finally:
        for name in set(gradients) - before:
            if name.startswith("CustomGradient-"):
                del gradients[name]
        gc.collect()
