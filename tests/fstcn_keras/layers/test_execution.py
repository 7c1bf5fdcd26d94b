"""Calls that overlap."""

import threading
import time

import keras
import pytest

from fstcn_keras.layers import execution


def test_overlapped_results_come_in_the_order_of_the_arguments():
    gone = threading.Event()

    def square(x: int) -> int:
        if x == 9:
            gone.set()
        elif keras.backend.backend() == "tensorflow" and x == 3:
            assert gone.wait(10)  # the first ends after the last: they run at the same time
        return x * x

    assert execution.overlapped(square, [3, 0, 7, 9]) == [9, 0, 49, 81]
    assert execution.overlapped(square, []) == []


def test_overlapped_calls_know_what_they_are_traced_for():
    def on_processor(_) -> bool:
        return execution.on_processor()

    with execution.portable():
        assert execution.overlapped(on_processor, range(5)) == [False] * 5
    expected = execution.on_processor()
    assert execution.overlapped(on_processor, range(5)) == [expected] * 5


def test_an_error_of_an_overlapped_call_ends_the_rest():
    begun = []

    def fail(x: int):
        begun.append(x)
        if x == 0:
            raise ValueError("no 0")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="no 0"):
        execution.overlapped(fail, range(1000))
    assert len(begun) < 1000
