"""The control channel from the sender's side: greeting, identity by hash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from proofs import HERE, KEY

from protocol.control import OtherVersion
from protocol.identity.proof import proof_fits
from protocol.identity.transfer import offer_identity
from protocol.messages import (
    MAX_CHUNK_BYTES,
    Bye,
    Hello,
    IdentityData,
    IdentityOffer,
    IdentityRequest,
    Stats,
)
from protocol.presets import PRESETS
from protocol.rtp_time import RTP_CLOCK_HZ
from sender.behind_sound import CHUNK_BYTES, BehindSound
from sender.errors import PeerSilentError, PeerVersionError
from sender.handshake import MAX_IDENTITY_REQUESTS, Handshake

IDENTITY = bytes(np.random.default_rng(0).integers(0, 256, 40_000, dtype=np.uint8))


def hello(weights: str = "ab" * 32) -> Hello:
    return Hello(weights_sha256=weights, resolution_px=256, frame_rate=Fraction(25), style_table_id=3)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_after_the_hello_the_identity_by_hash_only(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [hello()]
        handshake = Handshake(link, hello(), IDENTITY)
        assert await handshake.greet(1.0) == hello()
        assert link.control == [offer_identity(IDENTITY)]
        handshake.close()

    asyncio.run(scenario())


def test_the_proof_that_the_face_is_ours_comes_before_the_offer(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [hello()]
        handshake = Handshake(link, hello(), IDENTITY, KEY)
        await handshake.greet(1.0)
        proof, offer = link.control
        assert offer == offer_identity(IDENTITY)
        assert proof.content_sha256 == offer.content_sha256
        assert proof_fits(HERE, proof)
        handshake.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("offset", [0, 20_000])
def test_the_identity_is_sent_when_asked_for(make_link: Callable[[], Any], offset: int) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [hello()]
        behind = BehindSound()
        handshake = Handshake(link, hello(), IDENTITY, behind_sound=behind)
        await handshake.greet(1.0)
        digest = offer_identity(IDENTITY).content_sha256
        link.control_callback(IdentityRequest(content_sha256=digest, offset_bytes=offset))
        await settle()
        # The beginning at once, the rest only while sound goes out.
        assert handshake.identity_bytes_sent == max(0, MAX_CHUNK_BYTES - offset)
        for _ in range(2 * len(IDENTITY) // CHUNK_BYTES):
            behind.note_sound(PRESETS["default"], 5 * RTP_CLOCK_HZ, 0)
            await settle()
        chunks = [message for message in link.control if isinstance(message, IdentityData)]
        assert b"".join(chunk.data for chunk in chunks) == IDENTITY[offset:]
        assert handshake.identity_bytes_sent == len(IDENTITY) - offset
        handshake.close()

    asyncio.run(scenario())


def test_requests_for_something_else_and_floods_are_not_served(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [hello()]
        handshake = Handshake(link, hello(), IDENTITY)
        await handshake.greet(1.0)
        link.control_callback(IdentityRequest(content_sha256="00" * 32))
        await settle()
        assert not any(isinstance(message, IdentityData) for message in link.control)
        digest = offer_identity(IDENTITY).content_sha256
        for _ in range(1000):
            link.control_callback(IdentityRequest(content_sha256=digest))
            await asyncio.sleep(0)
        await settle()
        assert handshake.identity_bytes_sent <= MAX_IDENTITY_REQUESTS * len(IDENTITY)
        assert handshake.num_ignored >= 1000 - MAX_IDENTITY_REQUESTS
        handshake.close()

    asyncio.run(scenario())


def test_other_weights_get_no_identity(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [hello("cd" * 32)]
        handshake = Handshake(link, hello(), IDENTITY)
        await handshake.greet(1.0)
        assert not any(isinstance(message, IdentityOffer) for message in link.control)
        handshake.close()

    asyncio.run(scenario())


def test_another_version_is_named(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        link.greeting = [OtherVersion("update talkface on the older end")]
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


def test_bye_reaches_its_reader(make_link: Callable[[], Any]) -> None:
    async def scenario() -> None:
        link = make_link()
        reasons: list[str] = []
        handshake = Handshake(link, hello(), None, on_bye=reasons.append)
        link.control_callback(Stats(**dict.fromkeys(Stats.__dataclass_fields__, 5)))  # nobody needs them
        link.control_callback(Bye(reason="gone home"))
        assert reasons == ["gone home"]
        handshake.close()
        link.control_callback(Bye(reason="again"))
        assert reasons == ["gone home"]

    asyncio.run(scenario())
