"""One end of a real call is killed: the other ends in seconds and says why; the network's own holes are no death."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_command import RunningCommand

from talkface.demo import SPEECH

pytestmark = [pytest.mark.network, pytest.mark.slow]

WORDS = "the far end is gone: its program ended in the middle of the call"


@pytest.fixture
def server() -> Iterator[RunningCommand]:
    with RunningCommand("signal", "--host", "127.0.0.1", "--port", "0") as command:
        yield command


def _side(role: str, server: RunningCommand, *arguments: str) -> RunningCommand:
    match = re.search(r"ws://\S+:\d+", server.wait_for("signalling server at"))
    assert match is not None
    meeting = ("--signal", match.group(0), "--room", "r", "--weights", "tiny")
    return RunningCommand(role, *meeting, *arguments, TALKFACE_SECRET="a secret")


@pytest.mark.parametrize("victim", ["send", "receive"])
def test_a_killed_end_ends_the_other_in_seconds(victim: str, server: RunningCommand, tmp_path: Path) -> None:
    recording = tmp_path / "call.mp4"
    with (
        _side("receive", server, "--output", str(recording)) as receiver,
        _side("send", server, "--input", str(SPEECH), "--style", "none", "--duration-s", "600") as sender,
    ):
        for end in (receiver, sender):
            end.wait_for("s in the call")
        time.sleep(3.0)
        dies, survives = (sender, receiver) if victim == "send" else (receiver, sender)
        dies.process.kill()
        killed_s = time.monotonic()
        assert survives.wait(timeout_s=60) == 1, survives.output
        assert time.monotonic() - killed_s < 20.0, survives.output
        assert WORDS in survives.output


def test_a_killed_end_is_noticed_without_a_server(server: RunningCommand) -> None:
    """Its machine says that its port is closed."""
    with (
        _side("receive", server) as receiver,
        _side("send", server, "--input", str(SPEECH), "--style", "none", "--duration-s", "600") as sender,
    ):
        for end in (receiver, sender):
            end.wait_for("s in the call")
        server.process.kill()
        time.sleep(2.0)
        receiver.process.kill()
        killed_s = time.monotonic()
        assert sender.wait(timeout_s=90) == 1, sender.output
        assert time.monotonic() - killed_s < 40.0, sender.output
        assert WORDS in sender.output
