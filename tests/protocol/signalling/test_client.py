"""Two clients and a server on real sockets of this machine: meeting, TLS, loss and return, refusals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from protocol.errors import (
    BadRequestError,
    BadSignatureError,
    RateLimitedError,
    ReplacedError,
    RoomFullError,
    SignallingUnreachableError,
    SignallingVersionError,
    WrongSecretError,
)
from protocol.signalling.client import SignallingClient
from protocol.signalling.guard import SignallingLimits
from protocol.signalling.messages import Description, Joined, PeerJoined, PeerLeft, Refused, RoomKeys, encode_signalling
from protocol.signalling.server import SignallingServer

pytestmark = pytest.mark.network


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


def client_of(server: SignallingServer, secret: str = "tea", **options: Any) -> SignallingClient:
    return SignallingClient(f"{server.scheme}://127.0.0.1:{server.port}", room="kitchen", secret=secret, **options)


@asynccontextmanager
async def meeting(**limits: Any) -> AsyncIterator[tuple[SignallingServer, SignallingClient, SignallingClient]]:
    """A server with Ann and Bob in a room who know of each other."""
    async with (
        SignallingServer("127.0.0.1", 0, limits=SignallingLimits(**limits)) as server,
        client_of(server) as ann,
        client_of(server) as bob,
    ):
        assert await ann.next_event() == PeerJoined(generation=1, is_offerer=True)
        assert await bob.next_event() == PeerJoined(generation=1, is_offerer=False)
        yield server, ann, bob


def test_offer_and_answer_cross() -> None:
    async def test() -> None:
        async with meeting() as (_, ann, bob):
            await ann.send_description(1, "offer", "v=0\r\noffer")
            offer = await bob.next_event()
            assert isinstance(offer, Description)
            assert (offer.kind, offer.sdp) == ("offer", "v=0\r\noffer")
            await bob.send_description(offer.generation, "answer", "v=0\r\nanswer")
            answer = await ann.next_event()
            assert isinstance(answer, Description)
            assert (answer.kind, answer.sdp) == ("answer", "v=0\r\nanswer")

    run(test)


def test_tls_with_a_self_made_certificate(certificate: Any) -> None:
    async def test() -> None:
        async with SignallingServer("127.0.0.1", 0, tls=certificate.server_context()) as server:
            assert server.scheme == "wss"
            context = certificate.client_context()
            async with client_of(server, tls=context) as ann, client_of(server, tls=context):
                assert await ann.next_event() == PeerJoined(generation=1, is_offerer=True)
            with pytest.raises(SignallingUnreachableError, match="its certificate is not trusted"):
                await client_of(server).connect()
            plain = SignallingClient(f"ws://127.0.0.1:{server.port}", room="kitchen", secret="tea")
            with pytest.raises(SignallingUnreachableError, match=r"^signalling server ws://127\.0\.0\.1:\d+: "):
                await plain.connect()

    run(test)


def test_leaving_is_final_and_a_lost_connection_is_not() -> None:
    async def test() -> None:
        async with meeting() as (server, ann, bob):
            await ann.close()
            assert await bob.next_event() == PeerLeft(is_final=True)
            await ann.connect()
            assert await bob.next_event() == PeerJoined(generation=2, is_offerer=True)
            assert await ann.next_event() == PeerJoined(generation=2, is_offerer=False)
            bob.rejoin()  # cuts the connection without a word
            assert await ann.next_event() == PeerLeft(is_final=False)
            assert len(server.rooms) == 1

    run(test)


def test_events_come_back_after_a_loss_and_both_renegotiate() -> None:
    async def test() -> None:
        async with meeting() as (_, ann, bob):
            ann_events, bob_events = ann.events(), bob.events()
            ann.rejoin()
            assert await anext(ann_events) == PeerJoined(generation=2, is_offerer=False)
            assert await anext(bob_events) == PeerLeft(is_final=False)
            assert await anext(bob_events) == PeerJoined(generation=2, is_offerer=True)
            await bob.send_description(1, "offer", "of the meeting before")
            await bob.send_description(2, "offer", "v=0")
            offer = await anext(ann_events)
            assert isinstance(offer, Description)
            assert offer.sdp == "v=0"

    run(test)


def test_events_survive_a_restart_of_the_server() -> None:
    async def test() -> None:
        async with meeting() as (server, ann, bob):
            port = server.port
            ann_next, bob_next = asyncio.ensure_future(anext(ann.events())), asyncio.ensure_future(anext(bob.events()))
            await server.stop()
            async with SignallingServer("127.0.0.1", port) as again:
                first, second = await ann_next, await bob_next
                # Who is away for a moment longer may be seen to come.
                assert isinstance(first, PeerJoined)
                assert isinstance(second, PeerJoined)
                assert first.is_offerer is not second.is_offerer
                assert again.num_pairs == 1
                await ann.close()
                await bob.close()

    run(test)


def test_same_token_takes_the_place_of_its_dead_predecessor() -> None:
    async def test() -> None:
        async with meeting() as (server, ann, bob):
            # Ann's old connection is open as far as the server knows.
            reborn = client_of(server, peer_token=ann.peer_token)
            await reborn.connect()
            assert await reborn.next_event() == PeerJoined(generation=2, is_offerer=False)
            assert await bob.next_event() == PeerLeft(is_final=False)
            assert await bob.next_event() == PeerJoined(generation=2, is_offerer=True)
            with pytest.raises(ReplacedError, match=r"^the same peer joined again over a newer connection$"):
                await ann.next_event()
            await bob.send_description(2, "offer", "v=0")
            assert isinstance(await reborn.next_event(), Description)
            await reborn.close()

    run(test)


def test_wrong_secret_and_full_room() -> None:
    async def test() -> None:
        async with meeting() as (server, ann, bob):
            with pytest.raises(WrongSecretError, match=r"^the secret for room 'kitchen' is wrong"):
                await client_of(server, secret="coffee").connect()
            with pytest.raises(RoomFullError, match=r"^room 'kitchen' has two peers already, choose another name$"):
                await client_of(server).connect()
            await ann.send_description(1, "offer", "v=0")
            assert isinstance(await bob.next_event(), Description)
            assert server.refusals == {"wrong-secret": 1, "room-full": 1}

    run(test)


def test_connecting_too_often_is_said_clearly() -> None:
    async def test() -> None:
        limits = SignallingLimits(connections_burst=2, connections_per_s=0.001)
        async with SignallingServer("127.0.0.1", 0, limits=limits) as server, client_of(server), client_of(server):
            with pytest.raises(RateLimitedError, match=r"too many connections from this address, wait a little$"):
                await client_of(server).connect()

    run(test)


def test_nobody_listens() -> None:
    async def test() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            client = SignallingClient(f"ws://127.0.0.1:{port}", room="kitchen", secret="tea")
            with pytest.raises(SignallingUnreachableError, match=rf"^signalling server ws://127\.0\.0\.1:{port}: "):
                await client.connect()

    run(test)


def test_a_server_that_says_nothing() -> None:
    async def test() -> None:
        async with await asyncio.start_server(lambda *_: asyncio.sleep(9), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = SignallingClient(f"ws://127.0.0.1:{port}", room="kitchen", secret="tea", timeout_s=0.2)
            with pytest.raises(SignallingUnreachableError, match=r"no answer within 0\.2 s$"):
                await client.connect()
            server.close()

    run(test)


@asynccontextmanager
async def lying_server(*answers: bytes | str) -> AsyncIterator[SignallingClient]:
    """A client and a server that answers its join with these messages."""

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        for answer in answers:
            await connection.send(answer)
        await connection.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = SignallingClient(f"ws://127.0.0.1:{port}", room="kitchen", secret="tea")
        yield client
        await client.close()


JOINED = encode_signalling(Joined(generation=1))


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ("hello", BadRequestError, "^the server sent text"),
        (b"\x00\x01", BadRequestError, "^the server sent something unreadable: signalling message magic 0x00 is not"),
        (encode_signalling(PeerLeft(is_final=True)), BadRequestError, "^the server did not answer the join"),
        (encode_signalling(Refused(code="unknown-version", reason="update")), SignallingVersionError, "^update$"),
        (b"x" * 30_000, SignallingUnreachableError, "the connection was lost$"),
    ],
)
def test_answers_to_the_join_that_are_no_welcome(answer: bytes | str, error: type[Exception], text: str) -> None:
    async def test() -> None:
        async with lying_server(answer) as client:
            with pytest.raises(error, match=text):
                await client.connect()

    run(test)


def test_a_server_cannot_put_its_own_fingerprint_into_the_call() -> None:
    async def test() -> None:
        forged = RoomKeys(bytes(32), bytes(32)).describe(1, "offer", "v=0\r\na=fingerprint:sha-256 00:11")
        async with lying_server(JOINED, encode_signalling(forged)) as client:
            await client.connect()
            with pytest.raises(BadSignatureError, match=r"^description mac does not fit"):
                await client.next_event()

    run(test)


def test_messages_of_a_later_version_are_skipped() -> None:
    async def test() -> None:
        later = b"S\x63\x91\x01"
        async with lying_server(JOINED, later, encode_signalling(PeerLeft(is_final=False))) as client:
            await client.connect()
            assert await client.next_event() == PeerLeft(is_final=False)

    run(test)


def test_misuse_is_named() -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match=r"^signalling address 'http://x' is not of the form ws://host:port"):
            SignallingClient("http://x", room="kitchen", secret="tea")
        with pytest.raises(ValueError, match=r"^peer token of 3 bytes is not 16$"):
            SignallingClient("ws://x", room="kitchen", secret="tea", peer_token=b"abc")
        with pytest.raises(ValueError, match=r"^secret of 0 bytes is under 1$"):
            await SignallingClient("ws://127.0.0.1:1", room="kitchen", secret="").connect()
        with pytest.raises(ValueError, match=r"cannot be parsed: use ws://host:port$"):
            await SignallingClient("ws://", room="kitchen", secret="tea").connect()
        idle = SignallingClient("ws://127.0.0.1:1", room="kitchen", secret="tea")
        with pytest.raises(SignallingUnreachableError, match=r"not connected$"):
            await idle.send_description(1, "offer", "v=0")

    run(test)
