"""Command lines of the modules that users start."""

import argparse
import errno
from typing import NoReturn

ADVICE = {  # by the number of the system's error
    errno.EACCES: "name a place that you may use",
    errno.EPERM: "name a place that you may use",
    errno.EROFS: "name a place that you may write to",
    errno.ENOTDIR: "a part of this path is a file where a folder was expected",
    errno.EISDIR: "a file was expected",
    errno.ENOSPC: "free some space there, or name another place",
    errno.EDQUOT: "free some space there, or name another place",
}


def error_text(error: Exception) -> str:
    """Returns in one line what is wrong: of an error of the system its file, reason and advice.

    Example:
        >>> try:
        ...     open("/")
        ... except OSError as error:
        ...     print(error_text(error))
        /: Is a directory: a file was expected
    """
    text = reason(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = ": ".join(filter(None, (str(error.filename), text, ADVICE.get(error.errno or 0))))
    return " ".join(text.split())


def reason(error: Exception) -> str:
    """Returns why, without a number and the file, which a message of ours has named.

    Example:
        >>> try:
        ...     open("/")
        ... except OSError as error:
        ...     print(reason(error))
        Is a directory
    """
    return getattr(error, "strerror", None) or str(error)


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
