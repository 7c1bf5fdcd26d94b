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
    text = reason_of(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = ": ".join(filter(None, (str(error.filename), text, ADVICE.get(error.errno or 0))))
    return " ".join(text.split())


def reason_of(error: Exception) -> str:
    """Returns in one line what is wrong, as FFmpeg or the system says it, without the file's name.

    Example:
        >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.mp4"))
        'No such file or directory'
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
