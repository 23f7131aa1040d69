"""`talkface signal`: the server at which the two sides of a call find each other."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from protocol.signalling.guard import SignallingLimits
from protocol.signalling.server import SignallingServer
from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.terminal import say

DEFAULT_PORT = 8765


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalArguments(CheckedOptions):
    """Where the server listens, and how much it takes."""

    host: Annotated[
        str, Option("Address to listen on: 0.0.0.0 (IPv4) or :: (IPv6) for all, 127.0.0.1 for this machine.")
    ] = "0.0.0.0"
    port: Annotated[int, Option("TCP port; 0 takes a free one and prints it.", minimum=0, maximum=65535)] = DEFAULT_PORT
    tls_cert: Annotated[
        Path | None, Option("Certificate chain (PEM): with it the server speaks wss:// only.", path=PathUse.READ)
    ] = None
    tls_key: Annotated[
        Path | None,
        Option("Private key (PEM, not encrypted) of --tls-cert, when it is not in that file.", path=PathUse.READ),
    ] = None
    max_rooms: Annotated[int, Option("Rooms that may exist at once.", minimum=1, maximum=1_000_000)] = 500
    wait_minutes: Annotated[
        float, Option("How long one peer may wait alone in a room for the other.", minimum=0.1, maximum=10_080)
    ] = 60.0


@from_options()
def signal_command(wanted: SignalArguments) -> None:
    """Run the server at which two ends of a call find each other.

    A room holds two peers that know the same secret; the secret itself never reaches the server, and the server cannot
    change what the peers agree on. Sound and faces do not pass here: a call that runs goes on when the server stops.
    Stops on Ctrl-C.
    """
    host, port = wanted.host, wanted.port
    tls = _tls_context(wanted.tls_cert, wanted.tls_key)
    limits = SignallingLimits(max_rooms=wanted.max_rooms, alone_timeout_s=wanted.wait_minutes * 60)
    try:
        asyncio.run(_serve(SignallingServer(host, port, tls=tls, limits=limits), host))
    except OSError as error:
        raise _listen_error(host, port, error) from None


async def _serve(server: SignallingServer, host: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # event loops on Windows
            loop.add_signal_handler(number, stop.set)
    async with server:
        shown_host = f"[{host}]" if ":" in host else host
        say(f"signalling server at {server.scheme}://{shown_host}:{server.port}, Ctrl-C stops it")
        if server.scheme == "ws" and not host.startswith("127."):
            say("no --tls-cert: room names and addresses cross the network readable, the secret never does")
        await stop.wait()
    refused = ", ".join(f"{count} {code}" for code, count in sorted(server.refusals.items())) or "nobody"
    say(f"stopped; {server.num_pairs} pairs met, refused: {refused}")


def _tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise UserError("--tls-key without --tls-cert", "give the certificate that belongs to the key")
        return None
    for option, path in (("--tls-cert", cert), ("--tls-key", key)):
        if path is not None and not path.is_file():
            raise UserError(f"{option}: {path} is not a file", "check the path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key would ask at the terminal; an empty password makes it an error.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise UserError(
            f"--tls-cert {cert} with key {key or cert} cannot be used: {error.reason or error}",
            "both must be PEM, belong together, and the key must not be encrypted",
        ) from None
    except OSError as error:
        raise UserError(f"--tls-cert {cert} cannot be read: {error.strerror}") from None
    return context


def _listen_error(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(f"port {port} on {host} is in use", "choose another with --port, or stop the program there")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UserError(f"port {port} on {host} may not be opened by this user", "choose a port from 1024 up")
    return UserError(f"cannot listen on {host}:{port}: {error.strerror or error}", "check --host and --port")
