"""Command lines from typed dataclasses, and the exit codes of every command."""

import collections
import dataclasses
import difflib
import io
import os
import re
import signal
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonargparse

from fstcn_keras.process import BackendError, set_up_process
from training.ending import ended_in_time
from training.errors import UserError
from training.on_cluster import ClusterOptions, connected
from training.parts import Leaf, Options, build, flag, leaves, option, positional

__all__ = ["UserError", "option", "parse", "positional", "run"]

MAX_MESSAGE = 1500  # characters: the names of all backbones and more


def run(
    main: Callable,
    options_class: type,
    argv: Sequence[str] | None = None,
    *,
    cluster_options: type[ClusterOptions] | None = None,
):
    """Sets the process up, parses the command line, calls `main(options)` and exits.

    A command that works on clusters takes their options, too, and is called once it is connected.

    Exit codes: 0 done; 2 the user's input or a file system is at fault, with one line on
    stderr; 130 after Ctrl-C; 143 after SIGTERM, both within 5 s, but for a training, which
    finishes its step and saves its state.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any bytes
    try:
        with ended_in_time():
            set_up_process(tensorflow=True)
            description = sys.modules[main.__module__].__doc__
            if cluster_options is not None:
                values = parse_values(options_class, argv, cluster_options, description=description)
                cluster = build(cluster_options, **_taken(values, cluster_options))
                options = build(options_class, **values)
                with connected(cluster):
                    main(options)
            else:
                main(parse(options_class, argv, description=description))
    except (UserError, BackendError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def parse(
    options_class: type[Options], argv: Sequence[str] | None = None, *, description: str = ""
) -> Options:
    """Returns options from the command line and the `--config` file.

    Raises:
        UserError: for an unknown option, or a value of the wrong type or out of range.
    """
    return build(options_class, **parse_values(options_class, argv, description=description))


def parse_values(
    options_class: type,
    argv: Sequence[str] | None = None,
    *more: type,
    description: str = "",
) -> dict[str, Any]:
    """Returns the values by flat name, of the right types, of which `parse` builds options.

    Args:
        options_class: of the options.
        argv: the command line; `None` for that of this process.
        *more: other classes, whose options may be given, too.
        description: of the command, for its help.

    Raises:
        UserError: for an unknown option, or a value of the wrong type.
    """
    parser = jsonargparse.ArgumentParser(
        exit_on_error=False,
        allow_abbrev=False,
        description=description,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    options = [leaf for each in (options_class, *more) for leaf in leaves(each)]
    for leaf in options:
        _add_argument(parser, leaf)
    try:
        argv = sys.argv[1:] if argv is None else argv
        values = parser.parse_args(_files_last(argv, options)).as_dict()
    except jsonargparse.ArgumentError as error:
        # of a --config that is none the message holds all of the file
        raise UserError(
            _with_nearest(textwrap.shorten(str(error), MAX_MESSAGE), options)
        ) from error
    plain = {leaf.name: _plain(values[leaf.name]) for leaf in options}
    for leaf in options:
        path = plain[leaf.name]
        found = isinstance(path, Path) and re.match(r"(\w{2,}):/(.*)", str(path))
        if found and not leaf.positional:
            raise UserError(
                f"{flag(leaf.name)} {found[1]}://{found[2]} is an address, not a folder or file: "
                "stores and runs are read in place, so mount it, by one name on all machines"
            )
    return plain


def _taken(values: dict[str, Any], options_class: type) -> dict[str, Any]:
    """Takes those of a class out of the values by flat name."""
    return {leaf.name: values.pop(leaf.name) for leaf in leaves(options_class)}


def _files_last(argv: Sequence[str], options: Sequence[Leaf]) -> list[str]:
    """Moves what is given by position behind the options, if a command takes several of it.

    The parser takes several from one place only.
    """
    if not any(leaf.positional and _is_tuple(leaf.hint) for leaf in options):
        return list(argv)
    hints = {flag(leaf.name): leaf.hint for leaf in options if not leaf.positional}
    hints["--config"] = Path
    words = collections.deque(argv)
    kept, moved = [], []
    while words:
        word = words.popleft()
        if word == "--":
            moved += words
            break
        if not word.startswith("-") or word == "-":
            moved.append(word)
            continue
        kept.append(word)
        if word in hints and hints[word] is not bool and words:
            kept.append(words.popleft())
    return [*kept, "--", *moved] if moved else kept


def _plain(value):
    """Returns a value as options have it: lists as tuples, `~` of paths filled in."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if isinstance(value, Path):
        return Path(os.path.expanduser(value))
    return value


def _with_nearest(message: str, options: Sequence[Leaf]) -> str:
    """Adds the options that are meant to the message that some are unknown."""
    unknown = [word.split("=")[0] for word in message.split() if word.startswith("--")]
    flags = [flag(leaf.name) for leaf in options if not leaf.positional]
    near = {word: difflib.get_close_matches(word, flags, n=1) for word in unknown}
    found = [f"{matches[0]} for {word}" for word, matches in near.items() if matches]
    if not message.startswith("unrecognized arguments") or not found:
        return message
    return f"{message}: did you mean {', '.join(found)}?"


def _add_argument(parser, leaf: Leaf):
    hint, keywords = leaf.hint, {"help": leaf.help, "type": leaf.hint}
    several = next((h for h in (hint, *typing.get_args(hint)) if _is_tuple(h)), None)
    if several is not None:
        nargs = "+" if several is hint else "*"  # an optional one may be empty
        element = typing.get_args(several)[0]
        # names of files may be of any bytes, which the parser's own type for them does not take
        keywords |= {"type": _path if element is Path else element}
        keywords["nargs"] = nargs
    if hint is bool:
        parser.add_argument(flag(leaf.name), action="store_true", help=leaf.help)
    elif leaf.positional:
        if leaf.default is not dataclasses.MISSING:
            keywords |= {"nargs": "?" if several is None else "*", "default": leaf.default}
        parser.add_argument(leaf.name, **keywords)
    else:
        default = list(leaf.default) if isinstance(leaf.default, tuple) else leaf.default
        parser.add_argument(flag(leaf.name), default=default, **keywords)


def _path(text: str) -> Path:
    return Path(text)


class _HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Names the type of positional files as that of options."""

    def _get_type_str(self, action):
        kind = getattr(action, "_typehint", action.type)
        return "Path" if kind in (Path, _path) else super()._get_type_str(action)


def _is_tuple(hint) -> bool:
    return typing.get_origin(hint) is tuple
