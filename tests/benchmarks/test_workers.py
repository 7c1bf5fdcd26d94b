"""Processes that take turns, and what becomes of one that cannot."""

import os
import time

import pytest

from benchmarks.workers import Case, Worker, measure
from tests.processes import HANG_S, start_python

MODULE = "tests.benchmarks.pretended_steps"


def case(worker: str, **arguments) -> Case:
    return Case(labels={"of": worker}, worker=worker, function="step", arguments=arguments)


def test_times_and_reasons():
    cases = [
        case("one", seconds=0.3, flops=10.0),
        case("other", seconds=0.1, flops=30.0),
        case("one", fails="memory"),
    ]
    with Worker(MODULE) as one, Worker(MODULE) as other:
        slow, fast, failed = measure(cases, {"one": one, "other": other}, rounds=3)
    assert slow.seconds >= 0.3
    assert slow.seconds > fast.seconds >= 0.1
    assert slow.rate == pytest.approx(10 / slow.seconds)
    assert fast.rate == pytest.approx(30 / fast.seconds)
    assert (failed.reason, failed.rate) == ("no memory for 512 clips", 0)


def test_a_process_that_dies_ends_the_comparison_but_not_the_program():
    with Worker(MODULE) as one, Worker(MODULE) as other:
        cases = [case("one"), case("one", fails="dies"), case("other")]
        found = measure(cases, {"one": one, "other": other}, rounds=1)
    assert [("killed" in measured.reason) for measured in found] == [True] * 3


def test_a_fault_of_the_program_is_no_reason():
    with Worker(MODULE) as worker, pytest.raises(RuntimeError, match="OwnError: wrong axis"):
        measure([case("one", fails="program")], {"one": worker}, rounds=1)


def test_a_worker_does_not_outlive_a_program_that_is_killed():
    code = "from benchmarks.workers import Worker; import time; worker = Worker('os'); "
    code += "print(worker.ask('getpid'), flush=True); time.sleep(60)"
    with start_python("-c", code) as program:
        worker = int(program.stdout.readline())
        os.kill(worker, 0)  # raises if there is no such process
        program.kill()
        for _ in range(10 * HANG_S):
            time.sleep(0.1)
            try:
                os.kill(worker, 0)
            except ProcessLookupError:
                return
    pytest.fail(f"process {worker} is still there after {HANG_S} s")
