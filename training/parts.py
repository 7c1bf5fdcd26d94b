"""Options of commands: dataclasses made of parts, whose fields a command line knows by flat names.

A command's options are a frozen dataclass. A field is an `option`, a `positional` argument, or a
`part`: another such dataclass, which several commands share. No name occurs twice over all parts.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from training.errors import UserError

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """An option as the command line has it.

    Attributes:
        name: of the field, and with dashes of the flag.
        hint: type of its values.
        default: value if it is not given; `dataclasses.MISSING` if it must be.
        help: help text.
        positional: whether it is given by position.
    """

    name: str
    hint: Any
    default: Any
    help: str
    positional: bool


def option(default, help: str):
    """Declares a field of an options dataclass: its default, and its help text."""
    return dataclasses.field(default=default, metadata={"help": help})


def positional(help: str, *, default=dataclasses.MISSING):
    """Declares a field that is given by position; without a default it must be given."""
    return dataclasses.field(default=default, metadata={"help": help, "positional": True})


def part(options_class: type, **helps: str):
    """Declares a field that holds options of another class.

    Args:
        options_class: the dataclass.
        **helps: this command's help texts of some of its options, in the place of their own.
    """
    return dataclasses.field(default_factory=options_class, metadata={"helps": helps})


def leaves(options_class: type, helps: Mapping[str, str] | None = None) -> Iterator[Leaf]:
    """Yields the options of a class and of its parts, in their order."""
    helps = helps or {}
    hints = typing.get_type_hints(options_class)
    for field in dataclasses.fields(options_class):
        if _is_part(field):
            yield from leaves(hints[field.name], {**field.metadata["helps"], **helps})
        else:
            yield Leaf(
                name=field.name,
                hint=hints[field.name],
                default=field.default,
                help=helps.get(field.name, field.metadata["help"]),
                positional=field.metadata.get("positional", False),
            )


def build(options_class: type[Options], /, **values) -> Options:
    """Returns options with these values by flat name, the others being the defaults.

    A class whose defaults depend on other values has a method `resolved`, which fills them in and
    checks the whole; what is built is resolved.

    Raises:
        TypeError: for a name that the class and its parts do not have.
        UserError: if a value is out of range.
    """
    if unknown := sorted(values.keys() - {leaf.name for leaf in leaves(options_class)}):
        raise TypeError(f"{options_class.__name__} has no option {', '.join(unknown)}")
    options = compose(options_class, values)
    return options.resolved() if hasattr(options, "resolved") else options


def compose(options_class: type[Options], values: Mapping[str, Any]) -> Options:
    """Returns options with these values by flat name, as they are: nothing is filled in."""
    hints = typing.get_type_hints(options_class)
    arguments = {}
    for field in dataclasses.fields(options_class):
        if _is_part(field):
            arguments[field.name] = compose(hints[field.name], values)
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return options_class(**arguments)


def flat(options) -> dict[str, Any]:
    """Returns the values of all options by flat name."""
    values = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values |= flat(value) if _is_part(field) else {field.name: value}
    return values


def replaced(options: Options, **changes) -> Options:
    """Returns the options with some values, by flat name, in the place of their own."""
    return build(type(options), **flat(options) | changes)


def check(options, names: Sequence[str], fine: Callable[[Any], bool], must: str):
    """Makes sure that values are as they must be; `None`, a default to be filled in, always is.

    Raises:
        UserError: naming the first option that is not.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and not fine(value):
            raise UserError(f"{flag(name)} must {must}, got {value}")


def flag(name: str) -> str:
    """Returns the flag of an option, e.g. `--batch-size`."""
    return "--" + name.replace("_", "-")


def _is_part(field: dataclasses.Field) -> bool:
    return "helps" in field.metadata
