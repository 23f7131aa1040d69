"""TURN over UDP and over TCP, against Debian's coturn on the loopback address."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.audio_payload import parse_audio_payload
from protocol.control import ReceivedMessage
from protocol.interfaces import PacketCost, ReceivedPacket
from protocol.messages import IdentityData
from talkface.rtc.link import LinkError
from talkface.rtc.options import parse_ice_servers
from talkface.rtc.wire.totals import WireTotals

if TYPE_CHECKING:
    from conftest import LinkLab

COTURN = shutil.which("turnserver")
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(COTURN is None, reason="coturn (Debian package coturn) is not installed"),
]
LONG_MESSAGE = IdentityData(content_sha256="ab" * 32, offset_bytes=0, data=bytes(5000))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def turn_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A TURN server of our own with one user, ann / secret."""
    assert COTURN is not None
    folder = tmp_path_factory.mktemp("coturn")
    port = free_port()
    lines = [
        f"listening-port={port}",
        "listening-ip=127.0.0.1",
        "relay-ip=127.0.0.1",
        "allow-loopback-peers",
        "cli-password=unused",
        "no-cli",
        "no-tls",
        "no-dtls",
        "lt-cred-mech",
        "realm=talkface.test",
        "user=ann:secret",
        "fingerprint",
        "no-stdout-log",
        f"log-file={folder / 'log'}",
        f"pidfile={folder / 'pid'}",
        f"userdb={folder / 'db'}",
    ]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [COTURN, "-c", str(folder / "conf")], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        asyncio.run(_wait_for(port, process, folder))
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(200):
        if is_listening(port):
            return
        assert process.poll() is None, "".join(path.read_text() for path in folder.glob("log*"))[-2000:]
        await asyncio.sleep(0.05)
    raise AssertionError("coturn does not listen")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_through_turn(lab: LinkLab, speech_packets: list[bytes], turn_port: int, transport: str) -> None:
    servers = parse_ice_servers(f"turn:ann:secret@127.0.0.1:{turn_port}?transport={transport}")

    async def run() -> tuple[str, list[ReceivedPacket], list[ReceivedMessage], WireTotals]:
        got: list[ReceivedPacket] = []
        control: list[ReceivedMessage] = []
        alice, bob = lab.link(ice_servers=servers, relay_only=True), lab.link()
        bob.on_audio(got.append)
        bob.on_control(control.append)
        offer = await alice.create_offer()
        await alice.accept_answer(await bob.accept_offer(offer))
        await asyncio.gather(alice.wait_connected(15), bob.wait_connected(15))
        for index, packet in enumerate(speech_packets[:50]):
            alice.send_audio(packet, index * 2880, PacketCost(len(packet), 0, 0, True, 2880))
            await asyncio.sleep(0.01)
        await alice.send_control(LONG_MESSAGE)
        await lab.until(lambda: len(got) == 50 and control)
        wire = alice._meter.snapshot()
        await asyncio.gather(alice.close(), bob.close())
        return offer, got, control, wire

    offer, got, control, wire = asyncio.run(run())
    candidates = [line for line in offer.split("\r\n") if line.startswith("a=candidate")]
    assert candidates
    assert all(" typ relay" in line for line in candidates), "nothing but the relayed address is offered"
    assert [packet.content for packet in got] == [parse_audio_payload(packet) for packet in speech_packets[:50]]
    assert control == [LONG_MESSAGE]
    components = wire.up.components
    headers = {"udp": 28, "tcp": 52}[transport]
    assert components["opus"].bytes == sum(map(len, speech_packets[:50]))
    assert components["ip_udp"].bytes == wire.up.datagrams * headers
    assert components["stun"].bytes >= 50 * 4, "four bytes of channel framing on each packet"


def test_a_wrong_turn_password_is_a_clear_error(lab: LinkLab, turn_port: int) -> None:
    async def run() -> None:
        servers = parse_ice_servers(f"turn:ann:wrong@127.0.0.1:{turn_port}")
        link = lab.link(ice_servers=servers, relay_only=True)
        with pytest.raises(LinkError, match="the TURN server gave no relayed address"):
            await link.create_offer()
        await link.close()

    asyncio.run(run())


def test_stun_finds_the_outside_address(lab: LinkLab, turn_port: int) -> None:
    async def run() -> tuple[str, int]:
        link = lab.link(ice_servers=parse_ice_servers(f"stun:127.0.0.1:{turn_port}"))
        offer = await link.create_offer()
        setup_bytes = link._meter.snapshot().setup_bytes
        await link.close()
        return offer, setup_bytes

    offer, setup_bytes = asyncio.run(run())
    assert " typ srflx raddr 127.0.0.1" in offer
    assert setup_bytes >= 2 * 28 + 20 + 32, "the question and its answer are on the meter"
