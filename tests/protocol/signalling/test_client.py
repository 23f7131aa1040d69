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
    MalformedPacketError,
    RateLimitedError,
    ReplacedError,
    RoomFullError,
    SignallingUnreachableError,
    SignallingVersionError,
    WrongSecretError,
)
from protocol.signalling.client import MAX_UNCONFIRMED, SignallingClient
from protocol.signalling.guard import SignallingLimits
from protocol.signalling.keys import KeyExchange, MeetingKey, RoomKeys
from protocol.signalling.messages import (
    Description,
    Exchange,
    Join,
    Joined,
    PeerJoined,
    PeerLeft,
    Refused,
    decode_signalling,
    encode_signalling,
)
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
        await meet(ann, bob, 1)
        yield server, ann, bob


async def meet(offerer: SignallingClient, answerer: SignallingClient, generation: int) -> None:
    """Both are told of the meeting: each needs the other's half of the key exchange."""
    events = await asyncio.gather(offerer.next_event(), answerer.next_event())
    assert events == [PeerJoined(generation=generation, is_offerer=is_offerer) for is_offerer in (True, False)]


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
            async with client_of(server, tls=context) as ann, client_of(server, tls=context) as bob:
                await meet(ann, bob, 1)
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
            await meet(bob, ann, 2)
            bob.rejoin()  # cuts the connection without a word
            assert await ann.next_event() == PeerLeft(is_final=False)
            assert len(server.rooms) == 1

    run(test)


def test_events_come_back_after_a_loss_and_both_renegotiate() -> None:
    async def test() -> None:
        async with meeting() as (_, ann, bob):
            ann_events, bob_events = ann.events(), bob.events()
            ann.rejoin()
            coming = asyncio.ensure_future(anext(ann_events))
            assert await anext(bob_events) == PeerLeft(is_final=False)
            assert await anext(bob_events) == PeerJoined(generation=2, is_offerer=True)
            assert await coming == PeerJoined(generation=2, is_offerer=False)
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
            assert await bob.next_event() == PeerLeft(is_final=False)
            await meet(bob, reborn, 2)
            with pytest.raises(ReplacedError, match=r"^the same peer joined again over a newer connection$"):
                await ann.next_event()
            await bob.send_description(2, "offer", "v=0")
            assert isinstance(await reborn.next_event(), Description)
            await reborn.close()

    run(test)


def test_with_another_secret_one_is_in_another_room() -> None:
    async def test() -> None:
        async with meeting() as (server, ann, bob), client_of(server, secret="coffee") as squatter:
            assert len(server.rooms) == 2
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(squatter.next_event(), 0.2)
            with pytest.raises(RoomFullError, match=r"^the room has two peers already, choose another name or secret$"):
                await client_of(server).connect()
            await ann.send_description(1, "offer", "v=0")
            assert isinstance(await bob.next_event(), Description)
            assert server.refusals == {"room-full": 1}

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


class Impostor:
    """A server that plays the other end: it knows the room, guesses the secret, and arranges meetings as it likes."""

    def __init__(self, guess: str, num_meetings: int = 1, *, describes: bool = True) -> None:
        self._password = RoomKeys.derive("kitchen", guess).password
        self._num_meetings, self._describes = num_meetings, describes

    async def __call__(self, connection: ServerConnection) -> None:
        join = decode_signalling(await connection.recv())  # type: ignore[arg-type]
        assert isinstance(join, Join)
        await connection.send(JOINED)
        for generation in range(1, self._num_meetings + 1):
            await connection.send(encode_signalling(PeerJoined(generation=generation, is_offerer=False)))
            exchange = KeyExchange(RoomKeys(join.room_id, self._password), generation, is_offerer=True)
            theirs = decode_signalling(await connection.recv())  # type: ignore[arg-type]
            assert isinstance(theirs, Exchange)
            await connection.send(encode_signalling(exchange.message))
            forged = exchange.finish(theirs).describe(generation, "offer", "v=0\r\na=fingerprint:sha-256 00:11")
            if self._describes:
                await connection.send(encode_signalling(forged))
        await connection.wait_closed()


@asynccontextmanager
async def client_at(impostor: Impostor) -> AsyncIterator[SignallingClient]:
    async with serve(impostor, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with SignallingClient(f"ws://127.0.0.1:{port}", room="kitchen", secret="tea") as client:
            yield client


def test_a_server_cannot_put_its_own_fingerprint_into_the_call() -> None:
    async def test() -> None:
        async with client_at(Impostor("tea")) as client:
            await client.next_event()
            assert isinstance(await client.next_event(), Description), "with the right secret it could"
        async with client_at(Impostor("coffee")) as client:
            await client.next_event()
            with pytest.raises(BadSignatureError, match=r"^description mac does not fit"):
                await client.next_event()

    run(test)


def test_a_server_has_sixteen_guesses_at_the_secret_and_no_more() -> None:
    async def test() -> None:
        async with client_at(Impostor("coffee", 100, describes=False)) as client:
            for generation in range(1, MAX_UNCONFIRMED + 1):
                assert await client.next_event() == PeerJoined(generation=generation, is_offerer=False)
            with pytest.raises(WrongSecretError, match=r"^16 meetings in a row with somebody who knows no secret"):
                await client.next_event()

    run(test)


def test_descriptions_before_a_key_and_shares_of_other_meetings_are_void() -> None:
    async def test() -> None:
        forged = MeetingKey(bytes(32)).describe(1, "offer", "v=0")
        void = [Exchange(generation=1, share=bytes(32)), forged]
        async with lying_server(JOINED, *map(encode_signalling, [*void, PeerLeft(is_final=False)])) as client:
            await client.connect()
            assert await client.next_event() == PeerLeft(is_final=False)
        meeting_1 = PeerJoined(generation=1, is_offerer=True)
        other = Exchange(generation=2, share=bytes(32))
        wrong = Exchange(generation=1, share=bytes(32))
        async with lying_server(JOINED, *map(encode_signalling, [meeting_1, other, forged, wrong])) as client:
            await client.connect()
            with pytest.raises(MalformedPacketError, match=r"^exchange share is not one of the other side"):
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
        with pytest.raises(SignallingUnreachableError, match=r"the far end is not there$"):
            await idle.send_description(1, "offer", "v=0")

    run(test)
