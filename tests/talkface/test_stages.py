"""Long work says how far it is, line by line, where there is no terminal."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_command import RunningCommand

from talkface import demo
from talkface.stages import LINE_INTERVAL_S, StageLines


def test_a_line_at_the_ends_of_a_stage_and_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    stage = StageLines(now_s=lambda: now[0])
    for done in range(5):
        stage("looking", done + 1, 5)
        now[0] += LINE_INTERVAL_S * 0.6
    stage("drawing", 1, None)
    lines = ["looking: 1 of 5", "looking: 3 of 5", "looking: 5 of 5", "drawing: 1"]
    assert capsys.readouterr().err.splitlines() == lines


class _SlowServer(http.server.BaseHTTPRequestHandler):
    """Sends a little of the file and then nothing more."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "3000000")
        self.end_headers()
        self.wfile.write(bytes(1_500_000))
        self.wfile.flush()
        self.server.may_end.wait(60)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def slow_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _SlowServer)
    server.may_end = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/weights.pth"
    server.may_end.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.mark.network
def test_a_download_that_stands_still_has_said_how_far_it_is(slow_url: str, tmp_path: Path) -> None:
    arguments = ("weights", "fetch", "vgg16", "--folder", str(tmp_path), "--url", slow_url)
    with RunningCommand(*arguments) as command:
        assert "of 3.0 MB" in command.wait_for("MB of")


@pytest.mark.slow
def test_an_edit_says_how_far_it_is(tmp_path: Path) -> None:
    picture = Path(__file__).parents[2] / "docs/results/default_demo_frames.jpg"
    arguments = ("edit", "--portrait", str(picture), "--steps", "400", "--output", str(tmp_path / "strip.png"))
    with RunningCommand(*arguments) as command:
        command.wait_for("inverting the portrait: 1 of 400")


@pytest.mark.slow
@pytest.mark.network
def test_a_call_says_how_it_goes(tmp_path: Path) -> None:
    arguments = ("loopback", "--input", str(demo.SPEECH), "--weights", "tiny", "--style", "none", "--duration-s", "60")
    with RunningCommand(*arguments) as command:
        command.wait_for("connected")
        command.wait_for("s in the call", timeout_s=60)


@pytest.mark.network
def test_a_server_says_where_it_listens() -> None:
    with RunningCommand("signal", "--host", "127.0.0.1", "--port", "0") as command:
        command.wait_for("signalling server at ws://127.0.0.1:")
