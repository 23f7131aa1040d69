"""Fetching weights against a local server that breaks off, lies and refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from talkface import weights_fetch
from talkface.cli.weights import register
from talkface.errors import UserError
from talkface.weights_fetch import THIRD_PARTY, copy_weights, fetch_weights, find_third_party

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; how, is up to the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str | None] = []
        """Range header of each request."""
        self.break_after: list[int | None] = []
        """Per request: stop after so many bytes; None: send all."""
        self.statuses: list[int] = []
        """Per request: answer with this error."""
        self.supports_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.supports_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after else None
        self.wfile.write(body[:limit])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_whole_file_arrives_and_progress_is_told(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "weights.pth"
    seen: list[tuple[int, int | None]] = []
    fetch_weights(server.url, target, SHA256, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in target.parent.iterdir()] == ["weights.pth"]


def test_broken_connections_are_continued_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000, 50_000, None]
    target = tmp_path / "weights.pth"
    fetch_weights(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_an_interrupted_command_is_continued_by_the_next(server: Server, tmp_path: Path) -> None:
    server.break_after = [1000] * weights_fetch.MAX_ATTEMPTS
    target = tmp_path / "weights.pth"
    with pytest.raises(UserError, match=r"broke off|IncompleteRead"):
        fetch_weights(server.url, target, SHA256)
    assert not target.exists()
    assert (tmp_path / "weights.pth.partial").stat().st_size == 1000 * weights_fetch.MAX_ATTEMPTS
    fetch_weights(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1] == f"bytes={1000 * weights_fetch.MAX_ATTEMPTS}-"


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.supports_ranges = False
    server.break_after = [100_000, None]
    fetch_weights(server.url, tmp_path / "weights.pth", SHA256)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_a_whole_partial_file_is_only_verified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.partial").write_bytes(CONTENT)
    fetch_weights(server.url, tmp_path / "weights.pth", SHA256)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_another_file_is_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gave another file than expected"):
        fetch_weights(server.url, tmp_path / "weights.pth", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_partial_file_is_noticed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.partial").write_bytes(bytes(5000))
    with pytest.raises(UserError, match="another file"):
        fetch_weights(server.url, tmp_path / "weights.pth", SHA256)
    fetch_weights(server.url, tmp_path / "weights.pth", SHA256)
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT


def test_server_errors_are_retried_and_refusals_are_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    fetch_weights(server.url, tmp_path / "weights.pth", SHA256)
    assert len(server.requests) == 3
    server.statuses = [404]
    with pytest.raises(UserError, match="HTTP 404"):
        fetch_weights(server.url, tmp_path / "b.pth", SHA256)
    assert len(server.requests) == 4


def test_nobody_there_and_odd_addresses_are_named(server: Server, tmp_path: Path) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch_weights(url, tmp_path / "weights.pth", SHA256)
    with pytest.raises(UserError, match="not an http or https address"):
        fetch_weights("file:///etc/passwd", tmp_path / "weights.pth", SHA256)


def test_a_file_over_the_limit_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_fetch, "MAX_DOWNLOAD_BYTES", 1000)
    with pytest.raises(UserError, match="over the limit of 1000"):
        fetch_weights(server.url, tmp_path / "weights.pth", SHA256)


def test_a_local_file_is_verified_alike(tmp_path: Path) -> None:
    source = tmp_path / "usb.pth"
    source.write_bytes(CONTENT)
    copy_weights(source, tmp_path / "in" / "weights.pth", SHA256)
    assert (tmp_path / "in" / "weights.pth").read_bytes() == CONTENT
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"is not weights\.pth"):
        copy_weights(source, tmp_path / "weights.pth", SHA256)
    with pytest.raises(UserError, match="cannot be read"):
        copy_weights(tmp_path / "absent", tmp_path / "weights.pth", SHA256)


def test_pinned_entries_are_complete() -> None:
    assert set(THIRD_PARTY) == {"vgg16", "inception", "syncnet", "ffhq"}
    for weights in THIRD_PARTY.values():
        assert len(weights.sha256) == 64
        int(weights.sha256, 16)
        assert weights.url.endswith(weights.file_name)
        assert weights.num_bytes > 1_000_000
    with pytest.raises(UserError, match=r"'vgg19' are unknown\. Choose one of vgg16"):
        find_third_party("vgg19")


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["weights", *arguments])
    return result.exit_code, result.output, result.exception


def test_commands(server: Server, tmp_path: Path) -> None:
    folder = ["--folder", str(tmp_path)]
    code, output, _ = run("fetch", "vgg16", *folder, "--url", server.url, "--sha256", SHA256)
    assert code == 0, output
    assert (tmp_path / "vgg16-397923af.pth").read_bytes() == CONTENT
    num_requests = len(server.requests)
    code, output, _ = run("fetch", "vgg16", *folder, "--url", server.url, "--sha256", SHA256)
    assert "is here and whole" in output
    assert len(server.requests) == num_requests
    code, output, _ = run("list", *folder)
    assert code == 0
    assert "vgg16" in output
    assert "syncnet" in output
    # What was fetched is not the pinned release: verify says so.
    code, _, error = run("verify", "vgg16", *folder)
    assert code != 0
    assert isinstance(error, UserError)
    assert "talkface weights fetch vgg16" in str(error)
    code, _, error = run("fetch", "vgg16", *folder, "--sha256", "abc")
    assert isinstance(error, UserError)
    code, output, _ = run("verify", "tiny")
    assert code == 0
    assert "tiny: ok" in output
    code, _, error = run("verify", str(tmp_path / "absent"))
    assert isinstance(error, UserError)
