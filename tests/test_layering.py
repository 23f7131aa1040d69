"""The import arrows of docs/architecture.md hold: read from the code, not from memory.

Packages first, then rooms: a room is a folder of a package. What lies at a package's top is either its base, on which
rooms build, or puts rooms together. Imports within functions count like all others.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
ALLOWED: dict[str, set[str]] = {
    "protocol": set(),
    "talkface_core": set(),
    "sender": {"protocol", "talkface_core"},
    "receiver": {"protocol", "talkface_core"},
    "training": {"talkface_core"},
    "talkface": {"protocol", "talkface_core", "sender", "receiver", "training"},
}
"""What a package may import of the others."""

BASE: dict[str, set[str]] = {
    "protocol": set(),
    "talkface_core": {
        "talkface_core.errors",
        "talkface_core.interfaces",
        "talkface_core.face_assets",
        "talkface_core.module_fill",
        "talkface_core.shipped_weights",
        "talkface_core.output_path",
        "talkface_core.tensor_shards",
        "talkface_core.sealed_arrays",
        "talkface_core.whole_file",
        "talkface_core.runtime.quiet_openvino",
    },
    "sender": {"sender.errors"},
    "receiver": {"receiver.errors", "receiver.in_loop", "receiver.media_packet"},
    "training": {
        "training.config",
        "training.loss.config",
        "training.checkpoint",
        "training.mode",
    },
    "talkface": {
        "talkface.cores",
        "talkface.errors",
        "talkface.option",
        "talkface.options",
        "talkface.input_path",
        "talkface.outputs",
        "talkface.portrait",
        "talkface.program",
        "talkface.progress",
        "talkface.terminal",
        "talkface.typed_json",
    },
}
"""Modules of a package that import none of its rooms; every room may import them."""

ARROWS: dict[str, set[str]] = {
    "protocol": set(),
    "protocol.identity": {"protocol"},
    "protocol.signalling": {"protocol"},
    #
    "talkface_core": {"talkface_core.face", "talkface_core.style"},
    "talkface_core.sound": set(),
    "talkface_core.judges": set(),
    "talkface_core.tracking": set(),
    "talkface_core.style": set(),
    "talkface_core.face": {"talkface_core.sound", "talkface_core.style", "talkface_core.judges"},
    "talkface_core.runtime": {"talkface_core.face", "talkface_core.sound"},
    "talkface_core.identity": {"talkface_core.face", "talkface_core.style"},
    "talkface_core.style.session": {"talkface_core.style", "talkface_core.tracking", "talkface_core.face"},
    "talkface_core.face.model": {
        "talkface_core",
        "talkface_core.face",
        "talkface_core.identity",
        "talkface_core.runtime",
        "talkface_core.sound",
        "talkface_core.style",
        "talkface_core.style.session",
        "talkface_core.tracking",
    },
    #
    "sender": {"sender.sources"},
    "sender.sources": set(),
    #
    "receiver": {"receiver.drawing", "receiver.playout", "receiver.sinks"},
    "receiver.playout": set(),
    "receiver.drawing": {"receiver.playout"},
    "receiver.sinks": {"receiver.drawing"},
    #
    "training": {
        "training.critics",
        "training.data",
        "training.lip_expert",
        "training.loss",
        "training.metrics",
        "training.prepare",
        "training.small_nets",
        "training.start",
    },
    "training.data": set(),
    "training.critics": {"training.loss"},
    "training.loss": set(),
    "training.metrics": set(),
    "training.start": set(),
    "training.small_nets": set(),
    "training.landmarks": {"training.data", "training.small_nets"},
    "training.lip_expert": {"training.data", "training.loss", "training.small_nets"},
    "training.prepare": {"training.data", "training.lip_expert"},
    "training.evaluate": {"training.data", "training.likeness", "training.metrics"},
    "training.likeness": {"training", "training.data"},
    #
    "talkface": {
        "talkface.child",
        "talkface.identity",
        "talkface.report",
        "talkface.report.build",
        "talkface.rough_network",
        "talkface.rtc",
        "talkface.side",
    },
    "talkface.rtc": set(),
    "talkface.report": {"talkface.rtc"},
    "talkface.report.build": {"talkface.report", "talkface.side"},
    "talkface.side": {"talkface.identity", "talkface.report", "talkface.rough_network", "talkface.rtc"},
    "talkface.identity": set(),
    "talkface.doctor": {"talkface.rtc"},
    "talkface.edit": set(),
    "talkface.child": set(),
    "talkface.child.side": {"talkface", "talkface.child"},
    "talkface.rough_network": {"talkface.rtc", "talkface.child"},
    "talkface.cli": {"talkface.doctor", "talkface.edit", "talkface.identity", "talkface"},
    "talkface.__main__": {"talkface.cli"},
}
"""What a room may import of its package, besides itself and the base. A package's own name is its top; a module with a
row of its own puts together what its neighbours must not know."""

HOMES: dict[str, set[str]] = {
    "typer": {"talkface.cli"},
    "aiortc": {"talkface.rtc"},
    "aioice": {"talkface.rtc"},
    "pylibsrtp": {"talkface.rtc"},
    "websockets": {"protocol.signalling"},
    "msgpack": {"protocol"},
    "spake2": {"protocol.signalling"},
    "constriction": {"talkface_core.style"},
    "openvino": {"talkface_core.runtime"},
    "mediapipe": {"training.landmarks"},
    "webdataset": {"training.data"},
    "ray": {"training.prepare"},
    "asyncio": {
        "protocol.signalling",
        "sender",
        "receiver",
        "receiver.drawing",
        "receiver.sinks",
        "talkface",
        "talkface.child",
        "talkface.cli",
        "talkface.rough_network",
        "talkface.rtc",
        "talkface.side",
    },
    "torch": {"talkface_core", "training", "talkface", "talkface.edit"},
    "av": {"sender", "receiver.sinks", "training", "talkface"},
    "numpy": {"sender", "receiver", "talkface_core", "training", "talkface"},
}
"""Libraries with a home: nobody else imports them. A package's name covers its rooms, but for asyncio."""
THE_WORLD = {"asyncio", "logging", "os", "pathlib", "select", "socket", "ssl", "subprocess", "sys", "threading", "time"}
"""Files, sockets, clocks, threads."""
NOT_ROOMS = {"tests/protocol/golden", "tests/training/support"}
"""Folders of the tests that hold data or helpers."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ALLOWED
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__init__.py"
}


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members & MODULES.keys() or {node.module}
    return frozenset(names)


def room_of(module: str) -> str:
    """ "package.room" of a module in a room, "package" of one at the top."""
    package, *rest = module.split(".")
    return f"{package}.{rest[0]}" if rest and (ROOT / package / rest[0]).is_dir() else package


def row_of(module: str) -> str:
    """Whose arrows a module follows: "base", its own, or its room's."""
    if module in BASE[module.split(".")[0]]:
        return "base"
    return module if module in ARROWS else room_of(module)


def test_packages_import_only_what_their_layer_allows() -> None:
    wrong = []
    for module, path in MODULES.items():
        package = module.split(".")[0]
        others = {name.split(".")[0] for name in imported(path)} & ALLOWED.keys()
        wrong += [f"{module} imports {other}" for other in others - {package} - ALLOWED[package]]
    assert not wrong


def test_rooms_import_only_what_their_layer_allows() -> None:
    wrong = []
    for module, path in MODULES.items():
        row, package = row_of(module), module.split(".")[0]
        allowed = {"base", row, *ARROWS.get(row, set())}
        targets = {name for name in imported(path) if name.split(".")[0] == package}
        wrong += [f"{module} imports {target}" for target in targets if row_of(target) not in allowed]
    assert not wrong


def test_libraries_stay_at_home() -> None:
    wrong = []
    for module, path in MODULES.items():
        for library in {name.split(".")[0] for name in imported(path)} & HOMES.keys():
            at_home = {room_of(module)} if library == "asyncio" else {room_of(module), module.split(".")[0]}
            if not at_home & HOMES[library]:
                wrong.append(f"{module} imports {library}")
    assert not wrong


def test_the_wire_format_does_not_touch_the_world() -> None:
    pure = {module for module in MODULES if room_of(module) in ("protocol", "protocol.identity")}
    wrong = {module: found for module in pure if (found := imported(MODULES[module]) & THE_WORLD)}
    assert pure
    assert not wrong


def test_the_table_knows_every_room_and_nothing_else() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert rooms <= ARROWS.keys() <= rooms | MODULES.keys()
    named = {name for table in (BASE, ARROWS, HOMES) for names in table.values() for name in names}
    assert named <= rooms | MODULES.keys()


def test_arrows_form_no_circle() -> None:
    for start in ARROWS:
        seen: set[str] = set()
        ahead = set(ARROWS[start])
        while ahead:
            seen.add(step := ahead.pop())
            ahead |= ARROWS[step] - seen
        assert start not in seen


def test_the_architecture_shows_the_table() -> None:
    shown = {}
    for name, names in re.findall(r"^\| `([\w.]+)` \|.*\|([^|]*)\|$", ARCHITECTURE.split("## Rooms")[1], re.MULTILINE):
        package = name.split(".")[0]
        shown[name] = {n if n == package else f"{package}.{n}" for n in re.findall(r"`([\w.]+)`", names)}
    assert shown == ARROWS


def test_files_that_the_architecture_names_exist() -> None:
    paths = [f"/{path.relative_to(ROOT)}" for path in [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]]
    named = set(re.findall(r"`([\w/]+\.py)`", ARCHITECTURE))
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in paths)} == set()


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_tests_mirror_the_rooms(package: str) -> None:
    rooms = {f"tests/{room.replace('.', '/')}" for room in map(room_of, MODULES) if room.startswith(f"{package}.")}
    folders = {path.parent for path in (ROOT / "tests" / package).glob("*/*") if path.name != "__pycache__"}
    assert {str(folder.relative_to(ROOT)) for folder in folders} - NOT_ROOMS == rooms
    assert all(list((ROOT / room).glob("test_*.py")) for room in rooms)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_is_ours(package: str) -> None:
    module = __import__(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / package
