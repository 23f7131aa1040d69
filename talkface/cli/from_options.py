"""Makes the command line of a command from options dataclasses, so that an option is described once.

    @from_options(without=("sink",), given={"role": Role.SEND})
    def send(side: SideOptions) -> None: ...

offers each field that has an `Option`, in dataclasses within dataclasses too, and hands the command what it filled.
Before the command runs, `~` in paths is the user's folder, numbers are in their ranges and outputs can be written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from talkface.option import Option, OptionsField, options_fields
from talkface.outputs import check_paths

Command = Callable[..., None]
OPTIONS_OF = "options_of_command"
"""Attribute of a command that holds the fields it offers, for those who look at all commands."""


def from_options(
    *,
    without: tuple[str, ...] = (),
    given: Mapping[str, object] | None = None,
    last: tuple[str, ...] = (),
    own_help: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Turn a function of options dataclasses into one that typer can register; what else it takes, typer gives it.

    Args:
        without: fields (options, or whole dataclasses) that this command does not offer; they keep their defaults.
        given: fields that this command does not offer because it knows their values.
        last: fields that come at the end of --help, in this order. The others come in the order of the dataclasses,
            required ones first.
        own_help: help of this command where it differs from the field's own.

    Raises:
        ValueError: a name is no field of the dataclasses.
    """
    chosen = _Chosen(frozenset(without), given or {}, last, own_help or {})

    def decorate(function: Command) -> Command:
        hints = get_type_hints(function)
        hints.pop("return", None)
        groups: dict[str, type] = {name: kind for name, kind in hints.items() if _is_group(kind)}
        others = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            for name, kind in hints.items()
            if name not in groups
        ]
        chosen.check(list(groups.values()))

        def command(**values: Any) -> None:
            built = {name: chosen.build(kind, values) for name, kind in groups.items()}
            for options in built.values():
                check_paths(options)
            function(**built, **{other.name: values[other.name] for other in others})

        offered = chosen.in_order([pair for kind in groups.values() for pair in chosen.offered(kind)])
        parameters = others + [_parameter(field, chosen.help_of(field)) for field in offered]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        setattr(command, OPTIONS_OF, tuple(offered))
        return command

    return decorate


def _is_group(kind: Any) -> bool:
    """True for a dataclass of options; what else a command takes is typer's to give."""
    return is_dataclass(kind)


class _Chosen:
    """Which fields a command offers, and how they become dataclasses again."""

    def __init__(
        self, without: frozenset[str], given: Mapping[str, object], last: tuple[str, ...], helps: Mapping[str, str]
    ) -> None:
        self._without, self._given, self._last, self._helps = without, given, last, helps

    def check(self, kinds: list[type]) -> None:
        """Raise ValueError for a name that means nothing: an option that was renamed would be offered after all."""
        known: set[str] = set()
        while kinds:
            fields = options_fields(kinds.pop())
            known.update(field.name for field in fields)
            kinds += [field.group for field in fields if field.group is not None]
        if unknown := {*self._without, *self._given, *self._last, *self._helps} - known:
            raise ValueError(f"no field is called {', '.join(sorted(unknown))}")

    def offered(self, kind: type, groups: tuple[str, ...] = ()) -> Iterator[tuple[OptionsField, tuple[str, ...]]]:
        """Each option, with the names of itself and of the dataclasses it is in."""
        for field in options_fields(kind):
            if field.name in self._without or field.name in self._given:
                continue
            if field.group is not None:
                yield from self.offered(field.group, (*groups, field.name))
            elif field.option is not None:
                yield field, (*groups, field.name)

    def in_order(self, offered: list[tuple[OptionsField, tuple[str, ...]]]) -> list[OptionsField]:
        """As --help shows them."""

        def place(pair: tuple[OptionsField, tuple[str, ...]]) -> int:
            field, names = pair
            at = next((index for index, name in enumerate(self._last, 1) if name in names), 0)
            return at if field.default is not MISSING else -1

        return [field for field, _ in sorted(offered, key=place)]

    def help_of(self, field: OptionsField) -> Option:
        """The option, with this command's own help."""
        assert field.option is not None
        return replace(field.option, help=self._helps.get(field.name, field.option.help))

    def build(self, kind: type, values: Mapping[str, Any]) -> Any:
        """The dataclass of what typer read."""
        found: dict[str, Any] = {}
        for field in options_fields(kind):
            if field.name in self._given:
                found[field.name] = self._given[field.name]
            elif field.name in self._without:
                continue
            elif field.group is not None:
                found[field.name] = self.build(field.group, values)
            elif field.option is not None:
                value = values[field.name]
                value = tuple(value or ()) if get_origin(field.kind) is tuple else value
                found[field.name] = _with_home(value) if field.option.path is not None else value
        return kind(**found)


def _with_home(value: Any) -> Any:
    """`~` and `~name` at the start of paths, which a shell leaves alone in --option=~/path, as folders of users."""
    if isinstance(value, tuple):
        return tuple(_with_home(one) for one in value)
    if value is None or not str(value).startswith("~"):
        return value
    try:
        return type(value)(Path(value).expanduser())
    except RuntimeError:  # no user is called that: the file is
        return value


def _parameter(field: OptionsField, option: Option) -> inspect.Parameter:
    """The option as typer wants it; one that may be given several times is a list there, and none of it None."""
    kind, default = field.kind, field.default
    if get_origin(kind) is tuple:
        kind, default = list[get_args(kind)[0]] | None, None  # type: ignore[misc]
    help_text = option.help
    if option.minimum is not None:
        help_text += f"  [{option.minimum} to {option.maximum}]"
    described: Any
    if option.is_argument:
        described = typer.Argument(help=help_text, envvar=option.environment)
    else:
        described = typer.Option(*([option.flag] if option.flag else []), help=help_text, envvar=option.environment)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[kind, described],
    )
