"""Which installed packages some requirements lead to on this machine, extras and markers included."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Needed:
    """An installed package and the canonical names of those that it asks for itself."""

    distribution: importlib.metadata.Distribution
    asks_for: set[str] = field(default_factory=set)


def wanted(texts: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """The requirements among `texts` whose markers hold here, with these extras."""
    environments = [{"extra": extra} for extra in ("", *extras)]
    parsed = [Requirement(text) for text in texts]
    return [one for one in parsed if one.marker is None or any(map(one.marker.evaluate, environments))]


def needed(requirements: Sequence[Requirement], path: list[str]) -> dict[str, Needed]:
    """Packages under `path` (folders like site-packages) that the requirements need, by canonical name.

    Raises `importlib.metadata.PackageNotFoundError` when one is not installed.
    """
    installed = {canonicalize_name(one.name): one for one in importlib.metadata.distributions(path=path)}
    found: dict[str, Needed] = {}
    waiting = list(requirements)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        one = found.setdefault(name, Needed(installed[name]))
        next_ones = wanted(one.distribution.requires or (), extras)
        one.asks_for.update(canonicalize_name(requirement.name) for requirement in next_ones)
        waiting += next_ones
    return found
