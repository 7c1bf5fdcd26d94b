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
from typing import Any, Literal

import jsonargparse

from fstcn_keras.error_texts import error_text
from fstcn_keras.process import BackendError, set_up_process
from training.ending import ended_in_time
from training.errors import UserError
from training.on_cluster import ClusterOptions, connected
from training.parts import Leaf, Options, build, flag, leaves

MAX_MESSAGE = 1500  # characters: the names of all backbones and more


def _path(text: str) -> Path:
    return Path(text)


KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    _path: "a path",
}


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
        print(f"error: {error_text(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; to go on, give the same command again", file=sys.stderr)
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
        raise UserError(_in_words(str(error), options)) from error
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
    if not any(leaf.positional and _tuple_of(leaf.hint) for leaf in options):
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


def _in_words(message: str, options: Sequence[Leaf]) -> str:
    """Returns what the parser says of a command line, in words of the options."""
    by_name = {leaf.name: leaf for leaf in options}
    key = re.match(r'Parser key "(\w+)"', message)
    *said, value = re.split(r"(?:Given|Got) value: ", message)
    # of a --config that is none the message holds all of the file
    if key is None or not said or key[1] not in by_name:
        return _with_nearest(textwrap.shorten(message, MAX_MESSAGE), options)
    leaf, got = by_name[key[1]], textwrap.shorten(value, MAX_MESSAGE)
    name = leaf.name if leaf.positional else flag(leaf.name)
    each = "each value of " if _tuple_of(leaf.hint) else ""
    return f"{each}{name} must be {_kind(leaf.hint)}, got {got or 'nothing'}"


def _kind(hint) -> str:
    """Returns what a value of a type is, in words; of a tuple, what each of its values is."""
    several = _tuple_of(hint)
    if several:
        return _kind(typing.get_args(several)[0])
    if typing.get_origin(hint) is Literal:
        words = [str(value) for value in typing.get_args(hint)]
    else:
        kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not type(None)]
        words = [KINDS[kind] if kind in KINDS else _kind(kind) for kind in kinds]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _tuple_of(hint) -> Any:
    """Returns the type of tuples that a value may be of; `None` if there is none."""
    return next((h for h in (hint, *typing.get_args(hint)) if typing.get_origin(h) is tuple), None)


def _with_nearest(message: str, options: Sequence[Leaf]) -> str:
    """Adds the options that are meant to the message that some are unknown."""
    names = [leaf.name for leaf in options if not leaf.positional]
    unknown, known = [], names
    if message.startswith("unrecognized arguments"):
        unknown = [word.split("=")[0] for word in message.split() if word.startswith("--")]
        known = [flag(name) for name in names]
    elif message.endswith("object is not iterable"):
        return "an option of several values must be a list in the file of --config, as scales: [1]"
    elif in_file := re.fullmatch(r"Option '(.+)' is not accepted", message):
        unknown = [in_file[1]]
    near = {word: difflib.get_close_matches(word, known, n=1) for word in unknown}
    found = [f"{matches[0]} for {word}" for word, matches in near.items() if matches]
    return f"{message}: did you mean {', '.join(found)}?" if found else message


def _add_argument(parser, leaf: Leaf):
    hint, keywords = leaf.hint, {"help": leaf.help, "type": leaf.hint}
    several = _tuple_of(hint)
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


class _HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Says in words what the values of an option are, and no default where there is none."""

    def _get_type_str(self, action):
        hint = getattr(action, "_typehint", action.type)
        return None if hint is None else _kind(hint)

    def _get_help_string(self, action):
        text = super()._get_help_string(action)
        return text.replace(", default: %(default)s", "") if action.default is None else text
