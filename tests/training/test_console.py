"""The console command: its list, what it hands over to, and names that are none."""

import configparser
import importlib.util

import pytest

from tests.processes import ROOT, run_command
from training.console import COMMANDS, main


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_alone_it_lists_every_command_with_a_line(capsys, argv):
    main(argv)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(COMMANDS)
    assert all(len(line.split()) > 3 for line in lines[2:])
    assert max(map(len, lines)) < 80


def test_it_names_every_command_that_there_is():
    commands = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("training", "analysis", "fstcn_keras")
        for file in (ROOT / package).rglob("*.py")
        if 'if __name__ == "__main__":' in file.read_text() or file.name == "__main__.py"
    }
    commands -= {"training.console", "fstcn_keras.export.formats"}  # itself; fstcn_keras.export
    assert {module for module, _ in COMMANDS.values()} == commands
    assert all(importlib.util.find_spec(module) for module in commands)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("evalute", "error: no command 'evalute': did you mean evaluate?"),
        ("Fit", "error: no command 'Fit': did you mean fit?"),
        ("zzz", f"error: no command 'zzz': there are {', '.join(COMMANDS)}"),
    ],
)
def test_an_unknown_command(capsys, name, expected):
    with pytest.raises(SystemExit) as stopped:
        main([name])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [expected]


def test_a_command_gets_its_arguments_and_gives_its_exit_code():
    output = run_command("training.console", "fit", "--split", "x")
    assert output.returncode == 2
    assert output.stderr.startswith("error: ")
    assert "--split must be a whole number or all, got x" in output.stderr


def test_it_is_installed_under_its_name():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert "fstcn = training.console:main" in [script.strip() for script in scripts]
