"""Config to and from JSON, and `--section.field value` overrides; every unknown name or unfit value is an error."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from training.config import TrainConfig

MAX_NUMBER = 2**40
"""Steps, sizes, rates and weights are all far below."""


class ConfigError(ValueError):
    """A config names something that is not there, or gives it a value that does not fit."""


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Nested plain values, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """The inverse of `to_dict`.

    Raises:
        ConfigError: unknown or missing names, unfit values.
    """
    sections = _sections()
    _check_names(values, [*sections, "recipe"], "")
    if not isinstance(values.get("recipe"), str):
        raise ConfigError("recipe: missing")
    built: dict[str, Any] = {}
    for name, section in sections.items():
        given = values.get(name, {})
        if not isinstance(given, Mapping):
            raise ConfigError(f"{name}: must be a table of values")
        hints = get_type_hints(section)
        _check_names(given, list(hints), f"{name}.")
        built[name] = _build(
            section, {k: _in_reach(_fit(v, hints[k], f"{name}.{k}"), f"{name}.{k}") for k, v in given.items()}
        )
    try:
        return TrainConfig(recipe=values["recipe"], **built)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def apply_overrides(config: TrainConfig, arguments: Sequence[str]) -> TrainConfig:
    """Change fields from the command line.

    Args:
        arguments: "--train.lr", "1e-4", ... or "--train.lr=1e-4"; tuples are comma-separated.

    Raises:
        ConfigError: a name or value is wrong; the message names it and suggests a fix.
    """
    changes: dict[str, dict[str, Any]] = {}
    sections = _sections()
    for key, text in _pairs(arguments):
        section_name, dot, field_name = key.partition(".")
        if not dot or section_name not in sections:
            raise ConfigError(f"--{key}: unknown option{_suggest(key, _all_keys())}")
        hints = get_type_hints(sections[section_name])
        if field_name not in hints:
            raise ConfigError(f"--{key}: unknown option{_suggest(key, _all_keys())}")
        changes.setdefault(section_name, {})[field_name] = _in_reach(
            _parse(text, hints[field_name], f"--{key}"), f"--{key}"
        )
    try:
        return dataclasses.replace(
            config, **{s: dataclasses.replace(getattr(config, s), **values) for s, values in changes.items()}
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def describe_options() -> list[tuple[str, str]]:
    """("--section.field", type) of every option, for help texts."""
    return [
        (f"--{section}.{name}", _type_name(hint))
        for section, cls in _sections().items()
        for name, hint in get_type_hints(cls).items()
    ]


def _in_reach(value: Any, name: str) -> Any:
    """The value; ConfigError for a number that no field can mean. What a field itself takes, its section says."""
    for number in value if isinstance(value, tuple) else (value,):
        # The other way round, not a number would pass.
        if isinstance(number, int | float) and not -MAX_NUMBER <= number <= MAX_NUMBER:
            raise ConfigError(f"{name}: must be between {-MAX_NUMBER} and {MAX_NUMBER}, not {number}")
    return value


def _sections() -> dict[str, type[Any]]:
    sections: dict[str, Any] = {n: h for n, h in get_type_hints(TrainConfig).items() if dataclasses.is_dataclass(h)}
    return sections


def _all_keys() -> list[str]:
    return [option[2:] for option, _ in describe_options()]


def _build(section: type[Any], values: dict[str, Any]) -> Any:
    try:
        return section(**values)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            raise ConfigError(f"{option}: expected an option such as --train.lr")
        key, equals, value = option[2:].partition("=")
        if not equals:
            if not rest:
                raise ConfigError(f"{option}: a value is missing")
            value = rest.pop(0)
        pairs.append((key, value))
    return pairs


def _parse(text: str, hint: Any, name: str) -> Any:
    """A command-line word to a value of type `hint`."""
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"{name}: must be true or false, not {text!r}")
        return text.lower() == "true"
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return tuple(_parse(part, inner, name) for part in text.split(",") if part)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise ConfigError(f"{name}: must be {_type_name(hint)}, not {text!r}") from None
    return _fit(text, hint, name)


def _fit(value: Any, hint: Any, name: str) -> Any:
    """A JSON value as type `hint`, or ConfigError."""
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_fit(item, get_args(hint)[0], name) for item in value)
    elif origin in (Union, types.UnionType):
        for option in get_args(hint):
            if isinstance(value, option):
                return value
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise ConfigError(f"{name}: must be {_type_name(hint)}, not {value!r}")


def _type_name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"{_type_name(get_args(hint)[0])},..."
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _check_names(given: Mapping[str, Any], known: list[str], prefix: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{prefix}{name}: unknown field{_suggest(str(name), known)}")


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
