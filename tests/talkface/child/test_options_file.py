"""Options in a file: they come back equal, only their owner can read them, and no mistake passes."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from talkface.child.options_file import read_options, write_options
from talkface.demo import SPEECH
from talkface.errors import UserError
from talkface.options import (
    DetourOptions,
    MeetingOptions,
    ModelOptions,
    NetworkOptions,
    Role,
    RuntimeChoice,
    SideOptions,
    SinkOptions,
    SourceOptions,
    StyleChoice,
)
from talkface.typed_json import TypedJsonError

SIDE = SideOptions(
    role=Role.CALL,
    source=SourceOptions(input=SPEECH, style=StyleChoice.REFERENCE, adaptive=False, clock_ppm=12.5),
    sink=SinkOptions(output=Path("a \udcff.mp4")),
    meeting=MeetingOptions(signal_url="ws://h:1", room="r", secret="tea", ice_servers=("stun:h:1",), wait_s=7),
    model=ModelOptions(weights="tiny", runtime=RuntimeChoice.TORCH_CPU),
    detour=("127.0.0.1", 9),
    events=True,
)


@pytest.mark.parametrize(
    "options", [SIDE, DetourOptions(to_answerer=NetworkOptions(loss=0.1), to_offerer=NetworkOptions())]
)
def test_what_is_written_is_read(options: object, tmp_path: Path) -> None:
    write_options(tmp_path / "side.json", options)
    assert read_options(tmp_path / "side.json", type(options)) == options


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "side.json"
    write_options(path, SIDE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_options(path, SIDE)


def changed(tmp_path: Path, *where: str, **values: Any) -> Path:
    """The file of SIDE with other values in one of its objects."""
    path = tmp_path / "side.json"
    write_options(path, SIDE)
    data = group = json.loads(path.read_text())
    for name in where:
        group = group[name]
    group.update(values)
    path.write_text(json.dumps({name: value for name, value in data.items() if value != "LEFT OUT"}))
    return path


@pytest.mark.parametrize(
    ("where", "values", "message"),
    [
        ((), {"rol": "call"}, "side: rol is unknown"),
        ((), {"record": "LEFT OUT"}, "side: record is missing"),
        ((), {"role": "speak"}, "side.role is 'speak', which Role does not know"),
        ((), {"meeting": None}, "side.meeting must not be null"),
        ((), {"meeting": []}, "side.meeting is not an object"),
        ((), {"detour": ["127.0.0.1"]}, "side.detour holds 1 values, not 2"),
        ((), {"detour": ["127.0.0.1", "9"]}, r"side.detour\[1\] is '9', not of type int"),
        (("source",), {"adaptive": 1}, "side.source.adaptive is 1, not of type bool"),
        (("source",), {"clock_ppm": True}, "side.source.clock_ppm is True, not of type float"),
        (("meeting",), {"ice_servers": "stun:h:1"}, "side.meeting.ice_servers is not a list"),
        (("sink",), {"output": 1}, "side.sink.output is 1, not of type Path"),
    ],
)
def test_what_is_wrong_is_named(where: tuple[str, ...], values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TypedJsonError, match=message):
        read_options(changed(tmp_path, *where, **values), SideOptions)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "side.json"
    path.write_text("{")
    with pytest.raises(TypedJsonError, match=r"side\.json is not JSON"):
        read_options(path, SideOptions)


def test_the_checks_of_the_options_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="preset 'huge' is unknown"):
        read_options(changed(tmp_path, "source", preset="huge"), SideOptions)
