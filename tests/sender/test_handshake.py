"""The control channel from the sender's side: greeting, identity by hash, hostile bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from protocol.identity.transfer import offer_identity
from protocol.messages import (
    Bye,
    Hello,
    IdentityData,
    IdentityOffer,
    IdentityRequest,
    Message,
    Stats,
    decode_message,
    encode_message,
)
from sender.errors import PeerSilentError, PeerVersionError
from sender.handshake import MAX_IDENTITY_REQUESTS, Handshake

IDENTITY = bytes(np.random.default_rng(0).integers(0, 256, 40_000, dtype=np.uint8))


def hello(weights: str = "ab" * 32) -> Hello:
    return Hello(weights_sha256=weights, resolution_px=256, frame_rate=Fraction(25), style_table_id=3)


def answers(*replies: Message) -> Callable[[bytes], list[bytes]]:
    """A far end that says these things once it is greeted."""
    return lambda message: [encode_message(r) for r in replies] if isinstance(decode_message(message), Hello) else []


def sent(link: Any) -> list[Message]:
    return [decode_message(message) for message in link.control]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_hello_then_the_identity_by_hash_only(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.answer = answers(hello())
        handshake = Handshake(link, hello(), IDENTITY)
        assert await handshake.greet(1.0) == hello()
        assert sent(link) == [hello(), offer_identity(IDENTITY)]
        handshake.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("offset", [0, 20_000])
def test_the_identity_is_sent_when_asked_for(make_link: Callable[[], Any], offset: int) -> None:
    async def scenario() -> None:
        link = make_link()
        link.answer = answers(hello())
        handshake = Handshake(link, hello(), IDENTITY)
        await handshake.greet(1.0)
        digest = offer_identity(IDENTITY).content_sha256
        link.control_callback(encode_message(IdentityRequest(content_sha256=digest, offset_bytes=offset)))
        await settle()
        chunks = [message for message in sent(link) if isinstance(message, IdentityData)]
        assert b"".join(chunk.data for chunk in chunks) == IDENTITY[offset:]
        assert handshake.identity_bytes_sent == len(IDENTITY) - offset
        handshake.close()

    asyncio.run(scenario())


def test_requests_for_something_else_and_floods_are_not_served(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.answer = answers(hello())
        handshake = Handshake(link, hello(), IDENTITY)
        await handshake.greet(1.0)
        link.control_callback(encode_message(IdentityRequest(content_sha256="00" * 32)))
        await settle()
        assert not any(isinstance(message, IdentityData) for message in sent(link))
        digest = offer_identity(IDENTITY).content_sha256
        for _ in range(1000):
            link.control_callback(encode_message(IdentityRequest(content_sha256=digest)))
            await asyncio.sleep(0)
        await settle()
        assert handshake.identity_bytes_sent <= MAX_IDENTITY_REQUESTS * len(IDENTITY)
        assert handshake.num_ignored >= 1000 - MAX_IDENTITY_REQUESTS
        handshake.close()

    asyncio.run(scenario())


def test_other_weights_get_no_identity(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.answer = answers(hello("cd" * 32))
        handshake = Handshake(link, hello(), IDENTITY)
        await handshake.greet(1.0)
        assert not any(isinstance(message, IdentityOffer) for message in sent(link))
        handshake.close()

    asyncio.run(scenario())


def test_another_version_is_named(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        newer = bytearray(encode_message(hello()))
        newer[3] = 9  # the version is the first field of the array
        link.answer = lambda _: [bytes(newer)]
        with pytest.raises(PeerVersionError, match="update talkface"):
            await Handshake(link, hello(), IDENTITY).greet(1.0)

    asyncio.run(scenario())


def test_silence_is_an_error_in_time(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        with pytest.raises(PeerSilentError, match=r"within 0.05 s"):
            await Handshake(make_link(), hello(), IDENTITY).greet(0.05)

    asyncio.run(scenario())


def test_a_far_end_that_vanishes_while_greeting(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.is_broken = True
        with pytest.raises(PeerSilentError, match="went away"):
            await Handshake(link, hello(), IDENTITY).greet(1.0)

    asyncio.run(scenario())


def test_closing_wakes_who_waits(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        handshake = Handshake(make_link(), hello(), None)
        waiting = asyncio.create_task(handshake.greet(10.0))
        await settle()
        handshake.close()
        with pytest.raises(PeerSilentError, match="replaced"):
            await waiting

    asyncio.run(scenario())


def test_stats_and_bye_reach_their_readers(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        reasons: list[str] = []
        handshake = Handshake(link, hello(), None, on_bye=reasons.append)
        numbers = dict.fromkeys((f for f in Stats.__dataclass_fields__), 5)
        link.control_callback(encode_message(Stats(**numbers)))
        link.control_callback(encode_message(Bye(reason="gone home")))
        assert handshake.far_end_stats == Stats(**numbers)
        assert reasons == ["gone home"]
        handshake.close()
        link.control_callback(encode_message(Bye(reason="again")))
        assert reasons == ["gone home"]

    asyncio.run(scenario())


def test_hostile_bytes_are_counted_and_dropped(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        handshake = Handshake(link, hello(), IDENTITY)
        rng = np.random.default_rng(3)
        good = encode_message(hello())
        for _ in range(2000):
            damaged = bytearray(good if rng.random() < 0.5 else rng.bytes(int(rng.integers(0, 60))))
            for at in rng.integers(0, max(len(damaged), 1), 3):
                if damaged:
                    damaged[at] = int(rng.integers(0, 256))
            link.control_callback(bytes(damaged[: int(rng.integers(0, len(damaged) + 1))]))
        link.control_callback(bytes(100_000))
        assert handshake.num_malformed > 1000
        handshake.close()

    asyncio.run(scenario())
