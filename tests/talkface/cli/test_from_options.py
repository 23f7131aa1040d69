"""An option is described in one place: a field appears in the command, and its value in the child process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from talkface.child.main import child_main
from talkface.child.process import ChildProcess
from talkface.cli.from_options import from_options
from talkface.demo import SPEECH
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.options import Role, SideOptions

MEETING = ["--signal", "ws://h:1", "--room", "r", "--secret", "s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WiderOptions(SideOptions):
    """As when somebody adds one field."""

    echo_ms: Annotated[float, Option("How long the echo is.", environment="TEST_ECHO_MS")] = 1.0


def describe(side: WiderOptions) -> None:
    """What the child does with its options."""
    print(json.dumps({"echo_ms": side.echo_ms, "input": str(side.source and side.source.input)}), flush=True)


def invoke(command: Callable[..., None], *arguments: str, **environment: str) -> Result:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", **environment})


def filled(*arguments: str, **environment: str) -> WiderOptions:
    """What a command gets of a command line."""
    got: list[WiderOptions] = []

    @from_options(given={"role": Role.CALL}, without=("watching_preset",))
    def command(side: WiderOptions) -> None:
        got.append(side)

    result = invoke(command, *MEETING, *arguments, **environment)
    assert result.exit_code == 0, result.output
    return got[0]


def test_one_more_field_is_one_more_option() -> None:
    @from_options(given={"role": Role.CALL}, without=("watching_preset",), last=("clock_ppm",))
    def command(side: WiderOptions) -> None:
        """A command."""

    output = invoke(command, "--help").output
    assert "--echo-ms" in output
    assert "How long the echo is." in output
    assert output.index("--clock-ppm") > output.index("--echo-ms")
    assert filled().echo_ms == 1.0
    assert filled("--echo-ms", "20").echo_ms == 20.0
    assert filled(TEST_ECHO_MS="30").echo_ms == 30.0


def test_one_more_field_reaches_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    side = filled("--echo-ms", "20", "--input", str(SPEECH))
    events: list[Any] = []

    async def run() -> None:
        child = await ChildProcess.start_with("child", Path(__file__).stem, side, tmp_path, events.append)
        try:
            await asyncio.wait_for(child.wait(), 30)
        finally:
            await child.close()

    asyncio.run(run())
    assert events == [{"echo_ms": 20.0, "input": str(SPEECH)}]


def test_options_fill_the_dataclasses_within() -> None:
    side = filled("--ice-server", "stun:a:1", "--ice-server", "stun:b:2", "--no-adaptive", "--runtime", "torch-cpu")
    assert side.role is Role.CALL
    assert side.meeting.ice_servers == ("stun:a:1", "stun:b:2")
    assert side.source is not None
    assert not side.source.adaptive
    assert side.model.runtime == "torch-cpu"
    assert filled().meeting.ice_servers == ()


def test_what_is_left_out_keeps_its_default_and_is_not_offered() -> None:
    got: list[WiderOptions] = []

    @from_options(given={"role": Role.RECEIVE}, without=("source", "echo_ms"))
    def command(side: WiderOptions) -> None:
        got.append(side)

    assert invoke(command, *MEETING, "--echo-ms", "2").exit_code == 2
    assert invoke(command, *MEETING, "--input", str(SPEECH)).exit_code == 2
    assert invoke(command, *MEETING).exit_code == 0
    assert (got[0].source, got[0].echo_ms) == (None, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallOptions(CheckedOptions):
    count: Annotated[int, Option("How many.", minimum=1, maximum=3)] = 2
    paths: Annotated[tuple[Path, ...], Option("Which.", flag="--path", path=PathUse.READ)] = ()
    name: Annotated[str, Option("A word or a path.", path=PathUse.READ)] = "default"
    inner: int = 7
    default_made: list[int] = field(default_factory=list)


def test_limits_spellings_and_own_help() -> None:
    got: list[SmallOptions] = []

    @from_options(own_help={"count": "How many here."})
    def command(small: SmallOptions) -> None:
        got.append(small)

    output = invoke(command, "--help").output
    assert "How many here." in output
    assert "[1 to 3]" in output
    assert "inner" not in output, "a field without a description is not for people"
    refused = invoke(command, "--count", "4").exception
    assert isinstance(refused, UserError)
    assert str(refused) == "--count must be between 1 and 3, got 4"
    assert invoke(command, "--path", "a", "--path", "b").exit_code == 0
    assert got[0] == SmallOptions(paths=(Path("a"), Path("b")))


def test_a_tilde_that_the_shell_left_is_the_users_folder(tmp_path: Path) -> None:
    got: list[SmallOptions] = []

    @from_options()
    def command(small: SmallOptions) -> None:
        got.append(small)

    paths = ["--path=~/a", "--path=b~", "--path=~nobody_is_called_that"]
    assert invoke(command, *paths, "--name=~/weights", HOME=str(tmp_path)).exit_code == 0
    assert got[0].paths == (tmp_path / "a", Path("b~"), Path("~nobody_is_called_that"))
    assert got[0].name == str(tmp_path / "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOptions(CheckedOptions):
    source: Annotated[Path, Option("From where.", is_argument=True, path=PathUse.READ)]
    target: Annotated[Path, Option("Whereto.", is_argument=True, path=PathUse.WRITE_FILE)]


def test_arguments_and_what_typer_gives_itself(tmp_path: Path) -> None:
    got: list[Any] = []

    @from_options()
    def command(placed: PlacedOptions, context: typer.Context) -> None:
        got.extend([placed, context.info_name])

    assert invoke(command, str(tmp_path), str(tmp_path / "b")).exit_code == 0
    assert got == [PlacedOptions(source=tmp_path, target=tmp_path / "b"), "command"]
    refused = invoke(command, str(tmp_path / "a"), str(tmp_path / "a")).exception
    assert isinstance(refused, UserError)
    assert "TARGET: " in str(refused)
    assert "SOURCE reads" in str(refused)


def test_a_name_that_no_field_has_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="watching_presett"):
        from_options(without=("watching_presett",))(describe)


if __name__ == "__main__":
    child_main(WiderOptions, describe)
