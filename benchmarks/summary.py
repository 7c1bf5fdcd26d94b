"""The table that benchmarks/README.md begins with: our times beside those of the best peer.

Each line takes its times from one file of results, and computes nothing but their ratio.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A line of the table.

    Attributes:
        job: what is done.
        result: the file of results, without its ending.
        seconds: its column of times.
        named_by: the columns that say what a row is of.
        ours: how the names of our rows begin.
        peers: how those of the others begin.
        only: values that a row must have in other columns.
    """

    job: str
    result: str
    seconds: str
    named_by: Sequence[str]
    ours: str
    peers: tuple[str, ...]
    only: Row

    def line(self, rows: Sequence[Row]) -> dict[str, str]:
        """Returns the line: of ours and of the peers the row that takes least."""
        ours, our_s = self._fastest(rows, (self.ours,))
        peer, peer_s = self._fastest(rows, self.peers)
        return {
            "job": self.job,
            "ours": f"{ours}: {our_s:.3g} s",
            "best peer": f"{peer}: {peer_s:.3g} s",
            "times as fast": f"{peer_s / our_s:.3g}",
        }

    def _fastest(self, rows: Sequence[Row], beginnings: tuple[str, ...]) -> tuple[str, float]:
        found = []
        for row in rows:
            name = " ".join(row[column] for column in self.named_by if row[column])
            wanted = all(row[column] == value for column, value in self.only.items())
            if wanted and row[self.seconds] and name.startswith(beginnings):
                found.append((name, float(row[self.seconds])))
        if not found:
            raise ValueError(f"{self.result}.csv has no row for {self.job}: {beginnings}")
        return min(found, key=lambda item: item[1])


def _whole_job(job: str, seconds: str, ours: str) -> Comparison:
    return Comparison(
        job=job,
        result="jobs",
        seconds=seconds,
        named_by=("network",),
        ours=f"FSTCN {ours}",
        peers=("VideoMAE", "TimeSformer", "R(2+1)D"),
        only={},
    )


def _step(network: str, phase: str, result: str) -> Comparison:
    step = {"training": "a training step", "inference": "inference"}[phase]
    return Comparison(
        job=f"{step} of `{network}`",
        result=result,
        seconds="seconds",
        named_by=("framework", "form", "precision"),
        ours="Keras",
        peers=("PyTorch",),
        only={"network": network, "phase": phase},
    )


COMPARISONS = (
    _whole_job("command to the answer for one video of 3 s", "one video, cold, s", "lite, shared"),
    _whole_job("the same with `small`", "one video, cold, s", "small, shared"),
    _whole_job("the answer alone, network loaded", "one video, warm, s", "lite, shared"),
    _whole_job("the same with `small`", "one video, warm, s", "small, shared"),
    _whole_job("command to the answers for 30 videos", "30 videos, s", "lite, shared"),
    _whole_job("the same with `small`", "30 videos, s", "small, shared"),
    *(
        _step(network, phase, result)
        for network, result in (
            ("paper", "step"),
            ("small", "step"),
            ("squeeze", "step"),
            ("lite", "step-lite"),
        )
        for phase in ("training", "inference")
    ),
    Comparison(
        job="preparing 21 classes of HMDB-51",
        result="prepare",
        seconds="wall_s",
        named_by=("variant",),
        ours="training.prepare",
        peers=("bare loop",),
        only={},
    ),
)


def summary(
    read: Callable[[str], tuple[str, Sequence[Row]]], note: Callable[[str], str]
) -> list[dict[str, str]]:
    """Returns the lines of the table.

    Args:
        read: gives the circumstances and the rows of a file of results.
        note: what is to be said of one, or nothing.
    """
    rows, machines = {}, {}
    for result in {comparison.result for comparison in COMPARISONS}:
        circumstances, rows[result] = read(result)
        machine = circumstances.split("; ")[0]
        machines[result] = "; ".join(filter(None, (machine, note(result))))
    return [{**one.line(rows[one.result]), "machine": machines[one.result]} for one in COMPARISONS]
