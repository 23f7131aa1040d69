"""What a user can get wrong at the command line: one clear line, an exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEETING = ["--signal", "ws://127.0.0.1:1", "--room", "r", "--secret", "s"]


def run_talkface(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "talkface", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode not in (0, None), result.stdout
    assert "Traceback" not in result.stderr, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_version() -> None:
    result = run_talkface("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("talkface ")


def test_unknown_preset_lists_those_there_are() -> None:
    assert_refused(run_talkface("loopback", "--preset", "huge"), "'huge'", "minimum, default, good, robust")


@pytest.mark.parametrize("option", ["--input", "--identity", "--style-track"])
def test_missing_file_is_named(option: str) -> None:
    assert_refused(run_talkface("loopback", option, "no_such_file.mp4"), option, "no_such_file.mp4", "does not exist")


def test_empty_file_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert_refused(run_talkface("loopback", "--input", str(empty)), "empty.mp4", "is empty")


def test_folder_is_no_input(tmp_path: Path) -> None:
    assert_refused(run_talkface("loopback", "--input", str(tmp_path)), "is a folder")


def test_probability_above_one() -> None:
    assert_refused(run_talkface("loopback", "--loss", "5"), "--loss", "between 0 and 1")


def test_wrong_signal_address() -> None:
    arguments = ["send", "--signal", "example", "--room", "r", "--secret", "s"]
    assert_refused(run_talkface(*arguments), "ws://HOST:PORT")


def test_input_and_microphone_exclude_each_other(tmp_path: Path) -> None:
    clip = tmp_path / "a.wav"
    clip.write_bytes(b"x")
    result = run_talkface("send", *MEETING, "--input", str(clip), "--microphone", "default")
    assert_refused(result, "exclude each other")


def test_unknown_option_is_refused() -> None:
    assert_refused(run_talkface("loopback", "--los", "0.1"), "No such option")


@pytest.mark.parametrize("command", [("send", *MEETING), ("call", *MEETING), ("loopback",)], ids=lambda words: words[0])
def test_standard_input_that_is_a_pipe_is_refused_at_once(command: tuple[str, ...]) -> None:
    """`cat clip.ts | talkface send --input /dev/stdin`: a writer that stays would be waited for for ever."""
    process = subprocess.Popen(
        [sys.executable, "-m", "talkface", *command, "--input", "/dev/stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert process.stderr.read().startswith("talkface: --input: /dev/stdin is a pipe. Write it to a file and")
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_standard_input_that_is_a_file_is_one(tmp_path: Path) -> None:
    """It is read as any file: this one is no recording."""
    text = tmp_path / "notes.txt"
    text.write_text("no recording")
    with text.open() as file:
        command = [sys.executable, "-m", "talkface", "loopback", "--weights", "tiny", "--input", "/dev/stdin"]
        result = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=90, check=False)
    assert_refused(result, "notes.txt is not a recording that can be read")
