"""Times of variants that take turns."""

import pytest

from benchmarks import report


def test_the_first_call_of_a_turn_is_not_timed(monkeypatch):
    now, before, calls = 0.0, None, []

    def variant(name: str, seconds: float):
        def call():
            nonlocal now, before
            now += seconds + (10.0 if before != name else 0.0)  # the other has emptied the caches
            before = name
            calls.append(name)

        return call

    monkeypatch.setattr(report.time, "perf_counter", lambda: now)
    variants = {"short": variant("short", 0.2), "long": variant("long", 3.0)}
    found = report.alternate(variants, rounds=2, turn=0.5)
    assert found == pytest.approx({"short": 0.2, "long": 3.0})
    # 0.2, 0.4 and 0.6 s after the first; 3 s are more than a turn
    assert calls == (["short"] * 4 + ["long"] * 2) * 2


def test_a_time_is_the_median_of_the_turns(monkeypatch):
    now, turns = 0.0, iter((1.0, 1.0, 7.0, 7.0, 2.0, 2.0))

    def call():
        nonlocal now
        now += next(turns)

    monkeypatch.setattr(report.time, "perf_counter", lambda: now)
    assert report.alternate({"one": call}, rounds=3, turn=0) == pytest.approx({"one": 2.0})


def test_the_recorded_command_is_one_that_a_shell_takes(monkeypatch):
    words = [
        "x.py",
        "--data-dir",
        "/a",
        "--store=/b",
        "--groups",
        r"seq\d+",
        "--jobs",
        "R(2+1)D, x",
    ]
    monkeypatch.setattr(report.sys, "argv", words)
    monkeypatch.setenv("XLA_FLAGS", "--a=1 --b=2")
    command = report.circumstances().split("; ", 3)[3]
    assert command.endswith(
        r"XLA_FLAGS='--a=1 --b=2' python -m benchmarks.x "
        r"--data-dir DIR --store=DIR --groups 'seq\d+' --jobs 'R(2+1)D, x'"
    )
