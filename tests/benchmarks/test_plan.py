"""The simulated cluster against closed forms."""

import numpy as np
import pytest

from benchmarks import plan

SECOND = np.ones(5)  # a task of 32 videos takes 32 s
PER_CORE = 50
TASKS = PER_CORE * plan.CORES * 2


def simulated(*, num_tasks: int = TASKS, days: float = np.inf, task_s: float = 0.0):
    return plan.simulated(SECOND, num_tasks=num_tasks, nodes=2, days=days, task_s=task_s)


def test_without_any_cost_all_cores_work_to_the_end():
    outcome = simulated()
    assert outcome.wall_s == pytest.approx(PER_CORE * plan.MAX_ITEMS)
    assert (outcome.lost_s, outcome.giving_s) == (0, 0)


def test_who_gives_out_tasks_too_slowly_is_what_bounds_it():
    outcome = simulated(task_s=2.0)  # 32 cores take a task a second
    assert outcome.giving_s == pytest.approx(2 * TASKS)
    assert outcome.wall_s == pytest.approx(2 * TASKS + plan.MAX_ITEMS)


def test_failures_cost_half_a_task_and_the_repair():
    days = 1000 / 24 / 3600  # a failure in 1000 s on average
    outcome = simulated(days=days, num_tasks=40 * TASKS)
    failures = outcome.wall_s / (1000 + plan.REPAIR_S) * 2
    lost = outcome.lost_s / plan.CORES / failures
    assert lost == pytest.approx(plan.MAX_ITEMS / 2, rel=0.25)
    available = 1000 / (1000 + plan.REPAIR_S)
    work = 40 * TASKS * plan.MAX_ITEMS + outcome.lost_s
    assert outcome.wall_s == pytest.approx(work / (2 * plan.CORES * available), rel=0.1)


def test_a_core_whose_node_has_failed_waits_for_its_repair(monkeypatch):
    monkeypatch.setattr(plan, "_failures", lambda random, days, horizon_s: [10.0])
    monkeypatch.setattr(plan, "CORES", 2)  # one of them has nothing to do
    outcome = plan.simulated(SECOND, num_tasks=1, nodes=1, days=1.0, task_s=0.0)
    assert outcome.wall_s == 10 + plan.REPAIR_S + plan.MAX_ITEMS
    assert outcome.lost_s == 10


def test_a_row_by_hand():
    costs = plan.Costs(
        seconds=np.full(10, 36.0),
        source_bytes=1_000_000,
        store_bytes=3_000_000,
        prepare_s=SECOND,
        score_s=SECOND,
        task_s=0.0,
    )
    assert plan.per_hour(costs) == {
        "videos": 10,
        "seconds a video": "36.00",
        "files, MB an hour": "10",
        "store, MB an hour": "30",
        "prepare, core-hours an hour": "0.0139",  # 5 s for 0.1 h
        "predict, core-hours an hour": "0.028",
        "a task given out, ms": "0.00",
    }
    row, *_ = plan.planned(costs, "prepare", SECOND, hours=6400, nodes=4)
    assert (row["videos"], row["cores"], row["core-hours"]) == (640_000, 64, "178")
    assert row["without any cost, hours"] == "2.78"
    assert float(row["hours"]) == pytest.approx(10_016 / 3600, abs=0.01)  # 313 tasks of 32 s
    assert row["done twice"] == "0.00%"
