"""The gate in front of a socket."""

from __future__ import annotations

from talkface.rtc.gate import MAX_SSRCS, PEER_BURST, STRANGER_BURST, STRANGER_RATE_HZ, DatagramGate


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


def test_ssrcs_are_limited_and_strangers_bring_no_second_one() -> None:
    gate = DatagramGate(Now())
    assert gate.admits(rtp(0), is_peer=False), "media may come before ICE has chosen"
    assert not gate.admits(rtp(100), is_peer=False)
    assert sum(gate.admits(rtp(ssrc), is_peer=True) for ssrc in range(100)) == MAX_SSRCS


def test_unknown_kinds_are_turned_away() -> None:
    gate = DatagramGate(Now())
    for datagram in (b"", b"\x05abc", b"\x40\x00\x00\x04abcd", b"GET / HTTP/1.0", b"\xff" * 20):
        assert not gate.admits(datagram, is_peer=True)
