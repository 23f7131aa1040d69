"""The signalling server against strangers: garbage, floods, silence, half-open and dead connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from protocol.errors import RoomFullError
from protocol.signalling.guard import SignallingLimits
from protocol.signalling.messages import (
    Description,
    Join,
    Joined,
    Leave,
    PeerJoined,
    PeerLeft,
    Refused,
    SignallingMessage,
    Stranger,
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


@asynccontextmanager
async def listening(**limits: Any) -> AsyncIterator[SignallingServer]:
    async with SignallingServer("127.0.0.1", 0, limits=SignallingLimits(**limits)) as server:
        yield server


@asynccontextmanager
async def raw(server: SignallingServer) -> AsyncIterator[ClientConnection]:
    """A plain websocket to it."""
    async with connect(f"ws://127.0.0.1:{server.port}", proxy=None, close_timeout=0.2, compression=None) as socket:
        yield socket


def join(token: int = 1, room: str = "kitchen", *, place: bytes = b"  ") -> bytes:
    """`place`: what the secret gives of a room id."""
    return encode_signalling(Join(room_id=room.encode().ljust(30)[:30] + place, peer_token=bytes([token]) * 16))


async def receive(socket: ClientConnection) -> SignallingMessage:
    data = await socket.recv()
    assert isinstance(data, bytes)
    return decode_signalling(data)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_wrong_first_messages_are_refused_with_the_reason() -> None:
    answers = {
        b"garbage": "signalling message magic 0x67 is not 0x53",
        b"": "signalling message of 0 bytes has no type",
        encode_signalling(Leave()): "the first message is not a join",
        encode_signalling(Joined(generation=1)): "the first message is not a join",
        join()[:-1]: "join fields are not one msgpack array",
        b"S\x63\x90": "signalling message type 99 is unknown",
    }

    async def test() -> None:
        async with listening() as server:
            for data, reason in answers.items():
                async with raw(server) as socket:
                    await socket.send(data)
                    assert await receive(socket) == Refused(code="bad-request", reason=reason)
                    with pytest.raises(ConnectionClosed):
                        await socket.recv()
            async with raw(server) as socket:
                await socket.send("text")
                reason = "signalling messages are binary, this one is text"
                assert await receive(socket) == Refused(code="bad-request", reason=reason)
            assert len(server.rooms) == 0

    run(test)


def test_unknown_version_is_refused_by_name() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as socket:
            await socket.send(b"S\x01" + msgpack.packb([9, "a layout", "of the future"]))
            reason = "join version 9 is not 2: update talkface on the older end"
            assert await receive(socket) == Refused(code="unknown-version", reason=reason)

    run(test)


def test_after_the_join_only_descriptions_and_later_types() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as socket:
            await socket.send(join())
            assert await receive(socket) == Joined(generation=0)
            await socket.send(b"S\x63\x90")  # of a later version: skipped
            await socket.send(join())
            reason = "only exchanges, descriptions and leave may follow a join"
            assert await receive(socket) == Refused(code="bad-request", reason=reason)

    run(test)


def test_a_description_is_relayed_byte_for_byte(description: Description) -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as ann, raw(server) as bob:
            for token, socket in enumerate((ann, bob)):
                await socket.send(join(token))
                assert isinstance(await receive(socket), Joined)
            assert await receive(ann) == PeerJoined(generation=1, is_offerer=True)
            await ann.send(encode_signalling(description))  # of generation 2: dropped
            of_now = Description(generation=1, kind="offer", sdp="v=0", mac=bytes(32))
            await ann.send(encode_signalling(of_now))
            assert await receive(bob) == PeerJoined(generation=1, is_offerer=False)
            assert await receive(bob) == of_now

    run(test)


def test_silence_before_the_join_ends() -> None:
    async def test() -> None:
        async with listening(join_timeout_s=0.1) as server, raw(server) as socket:
            assert await receive(socket) == Refused(code="idle", reason="no join within 0.1 s")

    run(test)


def test_waiting_alone_ends() -> None:
    async def test() -> None:
        async with listening(alone_timeout_s=0.1) as server, raw(server) as socket:
            await socket.send(join())
            assert await receive(socket) == Joined(generation=0)
            reason = "nobody joined in time, join again to go on waiting"
            assert await receive(socket) == Refused(code="idle", reason=reason)
            assert len(server.rooms) == 0

    run(test)


def test_two_who_are_together_may_be_silent() -> None:
    async def test() -> None:
        async with listening(alone_timeout_s=0.3) as server, raw(server) as ann, raw(server) as bob:
            await ann.send(join(1))
            await bob.send(join(2))
            await asyncio.sleep(0.7)
            assert server.refusals == {}
            await ann.close()
            await receive(bob)
            await receive(bob)
            assert await receive(bob) == PeerLeft(is_final=False)

    run(test)


def test_who_waits_under_another_secret_is_said_to_both_and_once() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as ann, raw(server) as bob, raw(server) as eve:
            await ann.send(join(1, place=b"ab"))
            assert await receive(ann) == Joined(generation=0)
            await bob.send(join(2, place=b"cd"))
            assert [await receive(bob), await receive(bob)] == [Joined(generation=0), Stranger()]
            assert await receive(ann) == Stranger()
            await eve.send(join(3, place=b"ef"))
            assert [await receive(eve), await receive(eve)] == [Joined(generation=0), Stranger()]
            async with raw(server) as friend:  # what ann hears next is her friend, not another stranger
                await friend.send(join(4, place=b"ab"))
                assert await receive(ann) == PeerJoined(generation=1, is_offerer=True)

    run(test)


def test_two_who_are_together_and_rooms_of_other_names_are_no_strangers() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as ann, raw(server) as bob, raw(server) as eve:
            await ann.send(join(1, place=b"ab"))
            await bob.send(join(2, place=b"ab"))
            assert [await receive(bob), await receive(bob)] == [
                Joined(generation=1),
                PeerJoined(generation=1, is_offerer=False),
            ]
            async with raw(server) as cook:
                await cook.send(join(5, room="cellar", place=b"cd"))
                await eve.send(join(3, place=b"cd"))
                assert await receive(eve) == Joined(generation=0)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(receive(eve), 0.3)

    run(test)


def test_random_bytes_instead_of_a_websocket() -> None:
    async def test() -> None:
        rng = random.Random(5)
        async with listening() as server:
            for length in (1, 10, 100, 1000, 10_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(rng.randbytes(length))
                writer.write_eof()
                await reader.read()
                writer.close()
            await until(lambda: not server.guard.open_connections)
            async with raw(server) as socket:
                await socket.send(join())
                assert await receive(socket) == Joined(generation=0)

    run(test)


async def flood(socket: ClientConnection, kind: str) -> None:
    """Send until the server cuts the connection; answers are not read."""
    for number in range(100_000):
        if kind == "messages":
            await socket.send(b"S\x63" + bytes(19_000))
        else:
            await socket.ping(number.to_bytes(125, "big"))


@pytest.mark.parametrize("kind", ["messages", "pings"])
def test_a_flood_is_cut_and_others_go_on(kind: str) -> None:
    async def test() -> None:
        async with listening(bytes_burst=100_000, bytes_per_s=100_000) as server, raw(server) as ann:
            await ann.send(join(1))
            assert await receive(ann) == Joined(generation=0)
            async with raw(server) as flooder:
                await flooder.send(join(1, room="hall"))
                with pytest.raises((ConnectionClosed, ConnectionError)):
                    await flood(flooder, kind)
            assert server.refusals["rate-limited"] == 1
            await until(lambda: len(server.rooms) == 1)
            await asyncio.sleep(0.05)  # all of this comes from one address, whose allowance is spent
            async with raw(server) as bob:
                await bob.send(join(2))
                assert await receive(bob) == Joined(generation=1)

    run(test)


def test_message_over_the_size_limit_ends_the_connection() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as socket:
            await socket.send(join())
            await receive(socket)
            await socket.send(bytes(20_481))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            await until(lambda: len(server.rooms) == 0)

    run(test)


def test_a_reader_that_does_not_read_is_dropped() -> None:
    async def test() -> None:
        async with listening(bytes_burst=1e9, bytes_per_s=1e9) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            data = join(1)
            writer.write(bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data)
            await reader.read(1)  # joined
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            async with raw(server) as bob:
                await bob.send(join(2))
                big = encode_signalling(Description(generation=1, kind="offer", sdp="v" * 16_000, mac=bytes(32)))
                await until(lambda: server.num_pairs == 1)

                async def told() -> None:
                    while await receive(bob) != PeerLeft(is_final=False):
                        pass

                waiting = asyncio.ensure_future(told())
                for _ in range(5000):  # until the buffers of the kernel are full
                    if waiting.done():
                        break
                    await bob.send(big)
                await waiting
            writer.close()

    run(test)


def test_connections_per_address_are_bounded_half_open_ones_too() -> None:
    async def test() -> None:
        async with listening(max_connections_per_address=3) as server:
            streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
            await until(lambda: server.refusals["server-busy"] == 7)
            assert server.guard.open_connections.total() <= 10
            for _, writer in streams:
                writer.close()
            await until(lambda: not server.guard.open_connections)
            async with raw(server) as socket:
                await socket.send(join())
                assert await receive(socket) == Joined(generation=0)

    run(test)


def test_connections_that_hang_in_the_tls_handshake_are_counted(certificate: Any) -> None:
    async def test() -> None:
        limits = SignallingLimits(max_connections_per_address=3, join_timeout_s=0.5)
        async with SignallingServer("127.0.0.1", 0, tls=certificate.server_context(), limits=limits) as server:
            streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
            await until(lambda: server.refusals["server-busy"] == 7)
            assert server.guard.open_connections.total() == 3
            address, tls = f"wss://127.0.0.1:{server.port}", certificate.client_context()
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await connect(address, ssl=tls, proxy=None)
            # They end by themselves, and leave nothing behind.
            await until(lambda: not server.guard.open_connections)
            async with connect(address, ssl=tls, proxy=None) as socket:
                await socket.send(join())
                assert await receive(socket) == Joined(generation=0)
            for _, writer in streams:
                writer.close()

    run(test)


def test_listening_on_every_address_of_the_machine() -> None:
    async def test() -> None:
        async with SignallingServer(None, 0) as server, raw(server) as socket:
            await socket.send(join())
            assert await receive(socket) == Joined(generation=0)

    run(test)


def test_half_open_connections_end_by_themselves() -> None:
    async def test() -> None:
        async with listening(join_timeout_s=0.1) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
            assert await reader.read() == b""
            writer.close()
            await until(lambda: not server.guard.open_connections)

    run(test)


def test_a_dead_member_makes_room_for_a_stranger_with_the_secret() -> None:
    async def test() -> None:
        async with listening(probe_timeout_s=0.2) as server, raw(server) as ann:
            await ann.send(join(1))
            # Bob stops reading: his pings go unanswered, as when his machine lost its network.
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            data = join(2)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data)
            await until(lambda: server.num_pairs == 1)
            async with raw(server) as cid:
                await cid.send(join(3))
                assert isinstance(await receive(cid), Joined)
                assert await receive(cid) == PeerJoined(generation=2, is_offerer=False)
            writer.close()

    run(test)


def test_rooms_are_bounded() -> None:
    async def test() -> None:
        async with listening(max_rooms=1) as server, raw(server) as ann, raw(server) as bob:
            await ann.send(join(1))
            await receive(ann)
            await bob.send(join(2, room="hall"))
            reason = "the server holds its maximum of 1 rooms, try later"
            assert await receive(bob) == Refused(code="server-busy", reason=reason)

    run(test)


def test_reasons_with_long_characters_are_cut_to_size() -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as ann:
            await ann.send(join(1))
            await receive(ann)
            (peer,) = server._peers
            server._refuse(peer, RoomFullError("\U000e0001" * 60))
            refused = await receive(ann)
            assert isinstance(refused, Refused)
            assert refused.code == "room-full"
            assert len(refused.reason.encode()) == 200

    run(test)


def test_busy_port_keeps_its_errno() -> None:
    async def test() -> None:
        async with listening() as server:
            with pytest.raises(OSError, match="address already in use") as error:
                await SignallingServer("127.0.0.1", server.port).start()
            assert error.value.errno == errno.EADDRINUSE

    run(test)


def test_stopping_ends_every_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with listening() as server, raw(server) as ann:
            await ann.send(join(1))
            await receive(ann)
            await server.stop()
            with pytest.raises(ConnectionClosed):
                await ann.recv()

    with caplog.at_level(logging.ERROR):
        run(test)
    assert not caplog.records
