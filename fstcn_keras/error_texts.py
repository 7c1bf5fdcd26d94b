"""What is told of an error, in one line."""

import errno

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
