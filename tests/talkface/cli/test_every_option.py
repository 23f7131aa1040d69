"""Every option of every command that names a file or takes a number is held to the rules of its kind.

The commands are asked what they offer: an option that is added tomorrow is in these tests tomorrow.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from talkface.cli.from_options import OPTIONS_OF
from talkface.cli.main import app
from talkface.errors import UserError
from talkface.option import OptionsField, PathUse, without_none

Offered = tuple[tuple[str, ...], OptionsField]


def commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Every command with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*names, name))
        else:
            yield (*names, name), command


COMMANDS: dict[tuple[str, ...], Any] = dict(commands(typer.main.get_group(app)))


def fields_of(words: tuple[str, ...]) -> tuple[OptionsField, ...]:
    """What a command offers from options dataclasses."""
    return getattr(getattr(COMMANDS[words].callback, "__wrapped__", COMMANDS[words].callback), OPTIONS_OF, ())


def kind_of(field: OptionsField) -> Any:
    """Type of one value of the option."""
    kind = without_none(field.kind)
    return get_args(kind)[0] if get_args(kind) else kind


OFFERED: list[Offered] = [(words, field) for words in COMMANDS for field in fields_of(words)]
OUTPUTS = [(w, f) for w, f in OFFERED if f.option is not None and f.option.path and f.option.path.is_output]
INPUTS = [(w, f) for w, f in OFFERED if f.option is not None and f.option.path is PathUse.READ]
NUMBERS = [(w, f) for w, f in OFFERED if kind_of(f) in (int, float)]


def name_of(value: object) -> str:
    """For the names of the tests."""
    if isinstance(value, OptionsField):
        return value.spelling
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def refusal(words: tuple[str, ...], given: dict[str, list[str]], folder: Path) -> str:
    """What the command says to these values; what else it requires is there."""
    arguments, options = [], []
    for field in fields_of(words):
        assert field.option is not None
        values = given.get(field.spelling)
        if values is None and field.default is MISSING:
            values = [required_value(field, folder)]
        for value in values or ():
            if field.option.is_argument:
                arguments.append(value)
            else:
                options.append(f"{field.spelling}={value}")
    result = CliRunner().invoke(app, [*words, *options, "--", *arguments], prog_name="talkface")
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    return str(result.exception)


def required_value(field: OptionsField, folder: Path) -> str:
    assert field.option is not None
    if field.option.path is PathUse.READ:
        (folder / "read").mkdir(exist_ok=True)
        return str(folder / "read")
    if field.option.path is not None:
        return str(folder / f"{field.name}_of_the_test")
    return "ws://127.0.0.1:1" if field.name == "signal_url" else "debug_cpu" if field.name == "recipe" else "vgg16"


def test_every_path_and_number_of_every_command_comes_from_an_options_dataclass() -> None:
    for words, command in COMMANDS.items():
        described = {field.name: field for field in fields_of(words)}
        for parameter in command.params:
            assert getattr(parameter, "is_flag", False) or parameter.name in described, (
                f"{name_of(words)}: {parameter.name} is described elsewhere"
            )


def test_every_path_says_what_becomes_of_it_and_every_number_has_a_range() -> None:
    for words, field in OFFERED:
        assert field.option is not None
        if kind_of(field) is Path:
            assert field.option.path is not None, f"{name_of(words)} {field.spelling}: read or written?"
        if kind_of(field) in (int, float):
            low, high = field.option.minimum, field.option.maximum
            assert low is not None, f"{name_of(words)} {field.spelling} has no range"
            assert high is not None, f"{name_of(words)} {field.spelling} has no range"
            assert math.isfinite(low)
            assert math.isfinite(high)


@pytest.mark.parametrize(("words", "field"), NUMBERS, ids=name_of)
def test_numbers_out_of_range_are_refused(words: tuple[str, ...], field: OptionsField, tmp_path: Path) -> None:
    assert field.option is not None
    absurd = ["-1e30", "1e30", "nan", "inf", "-inf"] if kind_of(field) is float else ["-99999999999", "99999999999"]
    if (field.option.minimum or 0) > -1:
        absurd.append("-1")
    for value in absurd:
        message = refusal(words, {field.spelling: [value]}, tmp_path)
        assert f"{field.spelling} must be between {field.option.minimum} and {field.option.maximum}" in message


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("words", "field"), INPUTS, ids=name_of)
def test_a_pipe_as_an_input_is_refused_at_once(
    words: tuple[str, ...], field: OptionsField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes into it: opening it would wait for ever."""
    monkeypatch.chdir(tmp_path)
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    message = refusal(words, {field.spelling: [str(pipe)]}, tmp_path)
    assert f"{field.spelling}: {pipe} is a pipe" in message
    assert "Write it to a file" in message


@pytest.mark.parametrize(("words", "field"), OUTPUTS, ids=name_of)
def test_outputs_are_checked_before_anything_starts(
    words: tuple[str, ...], field: OptionsField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert field.option is not None
    monkeypatch.chdir(tmp_path)
    wants_folder = field.option.path is PathUse.WRITE_FOLDER
    kept = tmp_path / "kept"
    kept.write_bytes(b"what the user owns")
    wrong = kept if wants_folder else tmp_path
    message = refusal(words, {field.spelling: [str(wrong)]}, tmp_path)
    assert field.spelling in message
    assert str(wrong) in message
    assert ("a folder is wanted" if wants_folder else "is a folder") in message
    message = refusal(words, {field.spelling: [str(kept / "below" / "x")]}, tmp_path)
    assert f"{kept} is a file and no folder" in message
    message = refusal(words, {field.spelling: ["/proc/no_such_folder/x"]}, tmp_path)
    assert "nothing can be made in /proc" in message
    assert kept.read_bytes() == b"what the user owns"
    assert not [path for path in tmp_path.iterdir() if path.name not in ("kept", "read")], "nothing was made"


@pytest.mark.parametrize(("words", "field"), OUTPUTS, ids=name_of)
def test_an_output_is_no_input_under_any_name(words: tuple[str, ...], field: OptionsField, tmp_path: Path) -> None:
    assert field.option is not None
    for read in fields_of(words):
        if read.option is None or read.option.path is not PathUse.READ or read.name == "weights":
            continue
        mine = tmp_path / "mine"
        if field.option.path is PathUse.WRITE_FOLDER:
            mine.mkdir(exist_ok=True)
            names = [mine, tmp_path / "link"]
        else:
            mine.write_bytes(b"what the user owns")
            names = [mine, tmp_path / "link", tmp_path / "hard"]
            (tmp_path / "hard").unlink(missing_ok=True)
            os.link(mine, tmp_path / "hard")
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(mine)
        if field.option.path is PathUse.WRITE_FOLDER and "input" in read.name:
            continue  # a folder is no media file: refused for that
        for name in names:
            message = refusal(words, {read.spelling: [str(mine)], field.spelling: [str(name)]}, tmp_path)
            assert read.spelling in message
            assert field.spelling in message or "is a folder" in message
        assert mine.is_dir() or mine.read_bytes() == b"what the user owns"


@pytest.mark.parametrize("words", sorted({words for words, _ in OUTPUTS}), ids=name_of)
def test_two_outputs_are_two_files(words: tuple[str, ...], tmp_path: Path) -> None:
    outputs = [field for w, field in OUTPUTS if w == words]
    for index, field in enumerate(outputs):
        for other in outputs[:index]:
            same = str(tmp_path / "same")
            message = refusal(words, {field.spelling: [same], other.spelling: [same]}, tmp_path)
            assert f"{field.spelling} and {other.spelling} both write {same}" in message


def test_there_are_outputs_and_numbers_to_test() -> None:
    assert len(OUTPUTS) >= 20
    assert len(NUMBERS) >= 30
