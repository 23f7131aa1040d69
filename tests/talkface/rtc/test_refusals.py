"""A closed port is heard of, by address, and hearing of it leaves nothing behind that would wake the loop for ever."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from protocol.interfaces import PacketCost
from talkface.rtc.adapter.refusals import ask_for_refusals, take_refusals

if TYPE_CHECKING:
    from conftest import LinkLab

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells"),
]


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.refused: list[tuple[str, int]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        ask_for_refusals(transport)

    def error_received(self, exc: Exception) -> None:
        assert self.transport is not None
        self.refused += take_refusals(self.transport)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_closed_port_is_named(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as reserved, socket.socket(family, socket.SOCK_DGRAM) as listening:
        try:
            reserved.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listening.bind((host, 0))
        closed = reserved.getsockname()[:2]
        reserved.close()

        async def run() -> None:
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_datagram_endpoint(_Protocol, local_addr=(host, 0))
            try:
                for _ in range(3):
                    transport.sendto(b"hello", closed)
                    transport.sendto(b"hello", listening.getsockname()[:2])
                    await asyncio.sleep(0.05)
                assert set(protocol.refused) == {closed}
                fd = transport.get_extra_info("socket").fileno()
                assert not select.select([fd], [], [fd], 0)[0], "nothing is left to be read"
            finally:
                transport.close()

        asyncio.run(run())


def test_a_link_hears_that_its_peers_port_is_closed(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> None:
        async with lab.pair() as (alice, bob):
            assert alice.last_refused_us is None
            # As when its program is killed: the sockets are gone, and nobody has said a word.
            for protocol in bob._negotiation.connection.sctp.transport.transport._connection._protocols:  # type: ignore[union-attr]
                protocol.transport.abort()
            for index in range(3):
                alice.send_audio(speech_packets[index], index * 2880, PacketCost(58, 0, 0, True, 2880))
                await asyncio.sleep(0.06)
            await lab.until(lambda: alice.last_refused_us is not None, timeout_s=5)
            assert alice.last_refused_us is not None
            assert alice.last_refused_us > alice.last_heard_us

    asyncio.run(run())
