"""`talkface signal` as a process: it serves, stops cleanly, and says what is wrong."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from protocol.signalling.client import SignallingClient
from protocol.signalling.messages import PeerJoined
from talkface.cli.signal import signal_command
from talkface.errors import UserError

app = typer.Typer(rich_markup_mode=None)
app.command("signal")(signal_command)

PROGRAM = "import typer; from talkface.cli.signal import signal_command; typer.run(signal_command)"


def user_error(*arguments: str) -> UserError:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, UserError), result.output
    return result.exception


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its first line."""
    command = [sys.executable, "-u", "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.network
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_told_to_stop(number: signal.Signals) -> None:
    async def meet(url: str) -> None:
        async with (
            SignallingClient(url, room="kitchen", secret="tea") as ann,
            SignallingClient(url, room="kitchen", secret="tea") as bob,
        ):
            # The exchange of a key takes both.
            events = await asyncio.gather(ann.next_event(), bob.next_event())
            assert events[0] == PeerJoined(generation=1, is_offerer=True)

    with running("--host", "127.0.0.1", "--port", "0") as (process, line):
        match = re.fullmatch(r"signalling server at (ws://127\.0\.0\.1:\d+), Ctrl-C stops it\n", line)
        assert match is not None, line
        asyncio.run(meet(match[1]))
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
        assert output == "stopped; 1 pairs met, refused: nobody\n"
        assert process.returncode == 0


@pytest.mark.network
def test_says_what_is_readable_without_tls() -> None:
    with running("--port", "0") as (process, line):
        assert line.startswith("signalling server at ws://0.0.0.0:")
        assert process.stdout is not None
        warning = process.stdout.readline()  # before the interrupt: a fast machine stops the server ahead of it
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert warning.startswith("no --tls-cert: room names and addresses cross the network readable, the secret never")


@pytest.mark.network
def test_busy_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        error = user_error("--host", "127.0.0.1", "--port", str(port))
    assert str(error) == (f"port {port} on 127.0.0.1 is in use. Choose another with --port, or stop the program there")


@pytest.mark.network
def test_address_of_another_machine() -> None:
    assert str(user_error("--host", "192.0.2.1", "--port", "0")).startswith("cannot listen on 192.0.2.1:0: ")


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    missing, text = tmp_path / "missing.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    assert str(user_error("--tls-cert", str(missing))) == f"--tls-cert: {missing} is not a file. Check the path"
    assert str(user_error("--tls-key", str(text))).startswith("--tls-key without --tls-cert")
    assert str(user_error("--tls-cert", str(text))).startswith(f"--tls-cert {text} with key {text} cannot be used")


def test_help_explains_every_option() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for option in ("--host", "--port", "--tls-cert", "--tls-key", "--max-rooms", "--wait-minutes"):
        assert option in result.output
