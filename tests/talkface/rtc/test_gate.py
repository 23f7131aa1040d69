"""The gate in front of a socket."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from protocol.interfaces import PacketCost, ReceivedPacket
from talkface.rtc.gate import (
    MAX_SSRCS,
    PEER_BURST,
    STRANGER_BURST,
    STRANGER_RATE_HZ,
    UNPROVEN_BURST,
    UNPROVEN_RATE_HZ,
    DatagramGate,
)

if TYPE_CHECKING:
    from conftest import LinkLab


class Now:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.us = 0

    def now_us(self) -> int:
        return self.us


def rtp(ssrc: int) -> bytes:
    return b"\x80\x60" + bytes(6) + ssrc.to_bytes(4, "big") + bytes(60)


STUN = b"\x00\x01" + bytes(18)


def test_strangers_cannot_use_up_the_peers_allowance() -> None:
    gate = DatagramGate(Now())
    assert sum(gate.admits(STUN, is_peer=False) for _ in range(10_000)) == STRANGER_BURST
    assert sum(gate.admits(STUN, is_peer=True) for _ in range(10_000)) == PEER_BURST
    assert gate.dropped == 20_000 - STRANGER_BURST - PEER_BURST


def test_allowance_comes_back_with_time() -> None:
    now = Now()
    gate = DatagramGate(now)
    while gate.admits(STUN, is_peer=False):
        pass
    now.us += 500_000
    assert sum(gate.admits(STUN, is_peer=False) for _ in range(1000)) == STRANGER_RATE_HZ / 2


def test_sources_that_have_proven_nothing_do_not_count() -> None:
    gate = DatagramGate(Now())
    assert gate.admits(rtp(0), is_peer=False), "media may come before ICE has chosen"
    assert sum(gate.admits(rtp(ssrc), is_peer=True) for ssrc in range(1, 10_000)) == UNPROVEN_BURST
    gate.prove(5)
    assert sum(gate.admits(rtp(5), is_peer=True) for _ in range(10_000)) == PEER_BURST, "an allowance of its own"


def test_unproven_sources_may_be_tried_again_with_time() -> None:
    now = Now()
    gate = DatagramGate(now)
    while gate.admits(rtp(1), is_peer=True):
        pass
    now.us += 500_000
    assert sum(gate.admits(rtp(2), is_peer=True) for _ in range(1000)) == UNPROVEN_RATE_HZ / 2


def test_proven_sources_are_limited_and_strangers_bring_no_second_one() -> None:
    gate = DatagramGate(Now())
    gate.prove(1)
    assert gate.admits(rtp(1), is_peer=False), "the peer on a new path"
    assert not gate.admits(rtp(100), is_peer=False)
    for ssrc in range(100):
        gate.prove(ssrc)
    assert sum(gate.admits(rtp(ssrc), is_peer=True) for ssrc in range(100)) == MAX_SSRCS


def test_unknown_kinds_are_turned_away() -> None:
    gate = DatagramGate(Now())
    for datagram in (b"", b"\x05abc", b"\x40\x00\x00\x04abcd", b"GET / HTTP/1.0", b"\xff" * 20):
        assert not gate.admits(datagram, is_peer=True)


@pytest.mark.network
def test_forged_datagrams_before_the_first_sound_do_not_make_a_receiver_deaf(
    lab: LinkLab, speech_packets: list[bytes]
) -> None:
    """Twice as many forged sources as there may be real ones, from the peer's own address."""

    async def run() -> int:
        got: list[ReceivedPacket] = []
        async with lab.pair() as (alice, bob):
            bob.on_audio(got.append)
            (transceiver,) = alice._negotiation.connection.getTransceivers()
            for _ in range(2 * MAX_SSRCS):
                await transceiver.receiver.transport.transport._send(rtp(random.getrandbits(32)))
            await asyncio.sleep(0.1)
            for index, packet in enumerate(speech_packets[:20]):
                alice.send_audio(packet, index * 2880, PacketCost(len(packet), 0, 0, True, 2880))
                await asyncio.sleep(0.01)
            await lab.until(lambda: len(got) >= 20)
        return len(got)

    assert asyncio.run(run()) == 20
