"""What the command says when it cannot serve."""

import shutil
import socket

import pytest

pytest.importorskip("kserve")
pytest.importorskip("tensorflow")

from fstcn_keras import serve
from tests.processes import ROOT, run_command
from tests.servers import own_lines


def fails(*arguments: str, folder=ROOT) -> str:
    """The one line that it prints."""
    ports = ("--http-port=0", "--grpc-port=0")
    done = run_command("fstcn_keras.serve", *ports, *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = own_lines(done.stderr)
    return line


def test_no_run_at_all(tmp_path):
    assert "no finished run under runs/" in fails(folder=tmp_path)


def test_a_folder_that_is_not_there_or_empty(tmp_path):
    for folder in ("none", str(tmp_path)):
        expected = f"error: {folder} holds neither a trained network (model.keras) nor a SavedModel"
        assert fails(folder) == expected
    (tmp_path / "checkpoints").mkdir()
    assert fails(folder) == f"{expected}: give the same command of training.fit again to finish it"


@pytest.mark.parametrize(
    ("limit", "value", "error"),
    [
        ("frames", 0, "must be positive and finite. Received: 0"),
        ("seconds", "inf", "must be positive and finite. Received: inf"),
        ("request-bytes", 2**31, "must be at most 2147483647. Received: 2147483648"),  # of gRPC
    ],
)
def test_limits_out_of_range(run, limit, value, error):
    found = fails(str(run), f"--max-{limit}", str(value))
    assert found == f"error: `{limit.replace('-', '_')}` {error}"


def test_an_option_that_is_not_there(run):
    assert fails(str(run), "--port", "80") == (
        "error: unrecognized arguments: --port 80; python -m fstcn_keras.serve --help lists all"
    )


@pytest.mark.parametrize("side", ["http", "grpc"])
def test_a_port_that_is_taken(run, side):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails(str(run), f"--{side}-port", str(port))
    why = " (Address already in use)" if side == "http" else ""  # gRPC does not tell
    expected = (
        f"127.0.0.1:{port} cannot be listened to{why}: choose another --host or --{side}-port"
    )
    assert line == f"error: {expected}"


NAME = "--name, by default the folder's, must hold none of /?#%: nor control characters. Got"


def test_a_folder_whose_name_makes_no_address(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "a%20c")
    assert fails(str(copy)) == f"error: {NAME} 'a%20c'"


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--grpc-port=99999", "--grpc-port must be from 0 to 65535. Received: 99999"),
        ("--http-port=-1", "--http-port must be from 0 to 65535. Received: -1"),
        ("--name=a/b", f"{NAME} 'a/b'"),
        ("--name=", f"{NAME} ''"),
    ],
)
def test_options_that_make_no_address(capsys, option, error):
    with pytest.raises(SystemExit, match="2"):
        serve.main([option])
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_warm_up_that_fails(classifier, tmp_path):
    """The plan makes clips of another length than the network takes."""
    classifier.save(tmp_path)
    views = tmp_path / "views.json"
    views.write_text(views.read_text().replace('"clip_length": 3', '"clip_length": 4'))
    assert f"error: {tmp_path} cannot be served: " in fails(str(tmp_path))
