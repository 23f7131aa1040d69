"""What pyproject.toml asks for is bounded above, and the lock holds it: pinned, with hashes, bound to no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {name: list(map(Requirement, texts)) for name, texts in PROJECT["project"]["optional-dependencies"].items()}
GROUPS = {name: list(map(Requirement, texts)) for name, texts in PROJECT["dependency-groups"].items()}
RUN_TIME = list(map(Requirement, PROJECT["project"]["dependencies"]))
LOCKS = ("start", "dev", "tools")


def with_extras(requirements: list[Requirement]) -> list[Requirement]:
    """`talkface[train]` replaced by what it stands for."""
    found: list[Requirement] = []
    for one in requirements:
        own = one.name == "talkface"
        found += with_extras([two for extra in one.extras for two in EXTRAS[extra]]) if own else [one]
    return found


def locked(name: str) -> dict[str, set[str]]:
    """The versions of each package in a lock: one, or one for each of several Pythons."""
    versions: dict[str, set[str]] = {}
    pins = re.findall(r"^([a-z0-9][\w.-]*)==([\w.+!]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE)
    for package, version in pins:
        versions.setdefault(canonicalize_name(package), set()).add(version)
    return versions


ASKED = {"start": GROUPS["start"], "dev": RUN_TIME + with_extras(EXTRAS["dev"]), "tools": GROUPS["tools"]}


def test_every_dependency_is_bounded_above() -> None:
    build = list(map(Requirement, PROJECT["build-system"]["requires"]))
    everything = [*RUN_TIME, *build, *(one for group in (EXTRAS, GROUPS) for some in group.values() for one in some)]
    unbounded = [
        str(one)
        for one in everything
        if one.name != "talkface" and not {part.operator for part in one.specifier} & {"<", "<=", "==", "~="}
    ]
    assert not unbounded


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_what_is_asked_for(name: str) -> None:
    versions = locked(name)
    missing = [
        f"{one}: {versions.get(canonicalize_name(one.name))}"
        for one in ASKED[name]
        if not (pinned := versions.get(canonicalize_name(one.name)))
        or not all(one.specifier.contains(version) for version in pinned)
    ]
    assert not missing, "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_hashes_and_names_no_index(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= len(locked(name)) > 0
    assert not [entry.split("\n")[0] for entry in entries if "--hash=sha256:" not in entry]
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^\s+--hash=.*$", "", text, flags=re.MULTILINE), re.MULTILINE)


def test_environment_starts_with_what_the_lock_goes_on_with() -> None:
    whole = locked("dev")
    assert all(whole[name] == versions for name, versions in locked("start").items())
