"""Any text can be shown on any terminal, and none of it is obeyed."""

from __future__ import annotations

import ast
import asyncio
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from websockets.asyncio.server import ServerConnection, serve

from protocol.signalling.messages import Refused, encode_signalling
from talkface.progress import ConsoleProgress
from talkface.report.report import Report
from talkface.report.terminal import print_report
from talkface.stages import show_stages
from talkface.terminal import PLAIN_ERRORS, TerminalConsole, one_line, open_terminal, plain, printable

ROOT = Path(__file__).resolve().parents[2]
EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\r\u202ecilam\u2066 [bold]x[/bold] [/nothing]\nwrote nothing.mp4"
OWN_WRITERS = {
    "terminal.py": {"print"},
    # JSON for other processes, which is ASCII without controls.
    "progress.py": {"print"},
    "rough_network/__main__.py": {"print"},
    "doctor/__main__.py": {"print"},
    # Programs of ours that show files and numbers.
    "rtc/wire/capture.py": {"print"},
    "demo_speech.py": {"print"},
    "cli/main.py": {"echo"},
}


def test_controls_are_shown_as_question_marks() -> None:
    shown = printable(EVIL)
    assert shown == "?]0;owned??[31mred?2J??cilam? [bold]x[/bold] [/nothing]\nwrote nothing.mp4"
    assert printable("häää\t→ 日本\n") == "häää\t→ 日本\n"
    assert one_line("a\nb") == "a b"


def test_what_a_terminal_lacks_has_a_plain_form() -> None:
    assert plain("│ ██ 5 ± 1 … é “x” 日 │") == '| ## 5 +- 1 ... e "x" ? |'


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_console_shows_its_own_styles_and_nothing_of_others(is_terminal: bool) -> None:
    out = io.StringIO()
    console = TerminalConsole(file=out)
    console._force_terminal, console._color_system = is_terminal, None
    table = Table("a")
    table.add_row(EVIL)
    console.print(EVIL, Panel(Text(EVIL, style="red")), table)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert text.count("[bold]x[/bold]") == 3, "no markup either"


def test_progress_shows_what_the_far_end_says_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        out = io.StringIO()
        console = TerminalConsole(file=out)
        console._force_terminal = is_terminal
        with ConsoleProgress(console) as progress:
            progress.state("waiting", room=EVIL)
            progress.note(EVIL)
            progress.tick(1.0, 2.0)
        assert "\x1b]0;" not in out.getvalue()
        assert "\x9b" not in out.getvalue()
        assert "\nwrote nothing.mp4" not in out.getvalue()


def test_names_with_brackets_do_not_end_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show_stages() as stage:
        stage("reading [/nothing] [red]", 1, 2)


def test_the_report_shows_notes_of_the_far_end(sample_report: Report) -> None:
    sample_report.notes.append(EVIL)
    out = io.StringIO()
    print_report(sample_report, TerminalConsole(file=out))
    assert "\x1b" not in out.getvalue()
    assert "[/nothing]" in out.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_the_report_fits_any_encoding(sample_report: Report, encoding: str) -> None:
    open_terminal()
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors=PLAIN_ERRORS)
    print_report(sample_report, TerminalConsole(file=stream))
    stream.write("a file \udcff\n")
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert "10.56 kbps" in text
    assert ("█" if encoding == "utf-8" else "##") in text
    assert "a file ?" in text


@pytest.mark.parametrize(
    "command", [("edit", "--help"), ("evaluate", "--help"), ("loopback", "--input", "日本\x1b[2J.mp4")]
)
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_commands_end_as_they_should_on_a_poor_terminal(command: tuple[str, ...], encoding: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "talkface", *command],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=120,
        check=False,
    )
    text = (result.stdout + result.stderr).decode(encoding, errors="replace")  # typer takes ASCII for a mistake
    assert "Traceback" not in text
    assert "\x1b" not in text
    assert result.returncode == (1 if "--input" in command else 0)


def test_an_error_nobody_expected_is_printable_too() -> None:
    program = "from talkface.terminal import open_terminal; open_terminal(); raise ValueError('\\x1b[2J日')"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert b"ValueError: ?[2J?" in result.stderr


def test_what_modules_log_is_printable() -> None:
    program = (
        "import logging; from talkface.terminal import open_terminal; open_terminal()\n"
        "logging.getLogger('sender').warning('%s', '\\x1b[2Jred')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert result.stderr == b"?[2Jred\n"


@pytest.mark.network
@pytest.mark.timeout(120)
def test_a_forged_server_cannot_reach_the_terminal(tmp_path: Path) -> None:
    """A server that refuses with escape sequences, and with a line that looks like one of ours."""

    async def refuse(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(encode_signalling(Refused(code="room-full", reason=EVIL)))
        await socket.wait_closed()

    async def run() -> tuple[int | None, bytes]:
        async with serve(refuse, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "talkface", "receive", "--signal", f"ws://127.0.0.1:{port}"],
                *["--room", "r", "--secret", "s", "--weights", "tiny", "--runtime", "torch-cpu"],
                *["--cache-folder", str(tmp_path)],
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await process.communicate()
            return process.returncode, out

    code, out = asyncio.run(run())
    assert code == 1
    text = out.decode()
    assert "owned" in text, "what it says is shown"
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", text)
    assert not [line for line in text.splitlines() if line.startswith("wrote")]


def test_everything_for_people_goes_through_the_terminal_module() -> None:
    for path in sorted((ROOT / "talkface").rglob("*.py")):
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        }
        allowed = OWN_WRITERS.get(str(path.relative_to(ROOT / "talkface")), set())
        direct = {"print", "echo", "secho", "Console"} & called - allowed
        # A method of a console that is called print is not the function.
        direct -= {"print"} if not re.search(r"(?<![.\w])print\(", path.read_text()) else set()
        assert not direct, f"{path}: {direct}"
