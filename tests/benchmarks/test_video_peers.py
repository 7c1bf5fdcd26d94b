"""What a command of a peer does in the time that is measured."""

import json
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")

from benchmarks import video_peers  # noqa: E402
from benchmarks.samples import coarse_video  # noqa: E402


def printed(arguments: list, monkeypatch, capsys) -> tuple[list[str], int]:
    """The lines that the command prints with a network of one product, and its answers."""
    answers = []

    def classify(frames, fps):
        answers.append((len(frames), fps))
        return (torch.eye(3) @ torch.tensor([[0.0], [2.0], [1.0]]))[:, 0]

    monkeypatch.setitem(
        video_peers.PEERS, "pretended", video_peers.Peer("a view", lambda: classify)
    )
    monkeypatch.setattr(sys, "argv", ["video_peers", "pretended", *map(str, arguments)])
    video_peers.main()
    assert {*answers} == {(12, 25.0)}
    return capsys.readouterr().out.splitlines(), len(answers)


def test_a_timed_command_answers_each_video_once(tmp_path, monkeypatch, capsys):
    files = [coarse_video(tmp_path / f"{n}.avi", num_frames=12, square=4, seed=n) for n in range(2)]
    lines, answers = printed(files, monkeypatch, capsys)
    assert lines == [f"{file},1" for file in files]
    assert answers == 2


def test_repeats_tell_times_and_operations(tmp_path, monkeypatch, capsys):
    file = coarse_video(tmp_path / "a.avi", num_frames=12, square=4)
    (_, line), answers = printed([file, "--repeats", 3], monkeypatch, capsys)
    found = json.loads(line)
    assert len(found["warm"]) == 3
    assert min(found["warm"]) > 0
    assert (found["operations"], found["views"]) == (2 * 3 * 3, "a view")
    assert answers == 1 + 3 + 1  # one to warm up, and one whose operations are counted
