"""Command lines of the modules that users start."""

import argparse
from typing import NoReturn


class CommandParser(argparse.ArgumentParser):
    """Parses a command line; wrong input ends the process with one line and exit code 2.

    Example:
        >>> import contextlib, io
        >>> parser = CommandParser(prog="python -m fstcn_keras.serve")
        >>> with contextlib.redirect_stderr(io.StringIO()) as told:
        ...     with contextlib.suppress(SystemExit):
        ...         _ = parser.parse_args(["--prot", "80"])
        >>> told.getvalue()
        'error: unrecognized arguments: --prot 80; python -m fstcn_keras.serve --help lists all\\n'
    """

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong and ends the process."""
        self.exit(2, f"error: {' '.join(message.split())}; {self.prog} --help lists all\n")
