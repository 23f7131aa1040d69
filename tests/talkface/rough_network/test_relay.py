"""The relay as a process, with real datagrams through it."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from protocol.interfaces import PacketCost, ReceivedPacket
from talkface.rough_network.control import RelayControl
from talkface.rough_network.relay import Relay, RelaySettings, main
from talkface.rtc.sdp import first_candidate, route_through

if TYPE_CHECKING:
    from conftest import LinkLab

pytestmark = pytest.mark.network


def udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setblocking(False)
    return opened


async def receive(opened: socket.socket, count: int, timeout_s: float = 3.0) -> list[tuple[bytes, tuple[str, int]]]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        return [await loop.sock_recvfrom(opened, 2048) for _ in range(count)]


def test_datagrams_pass_unchanged_and_only_addresses_differ() -> None:
    async def run() -> None:
        relay = Relay(RelaySettings(), RelaySettings())
        route = relay.route(await relay.open_route())
        with udp() as alice, udp() as bob:
            route.set_peer("offerer", alice.getsockname())
            route.set_peer("answerer", bob.getsockname())
            sent = [bytes([n]) * (n + 1) for n in range(50)]
            for data in sent:
                alice.sendto(data, route.stand_in("answerer"))
            got = await receive(bob, 50)
            assert [data for data, _ in got] == sent
            assert {address for _, address in got} == {route.stand_in("offerer")}
            bob.sendto(b"back", got[0][1])
            assert await receive(alice, 1) == [(b"back", route.stand_in("answerer"))]
        assert relay.stats() == {
            "passed_to_answerer": 50,
            "lost_to_answerer": 0,
            "passed_to_offerer": 1,
            "lost_to_offerer": 0,
        }
        await relay.close()

    asyncio.run(run())


def test_each_direction_has_its_own_settings() -> None:
    async def run() -> dict[str, int]:
        relay = Relay(RelaySettings(loss=1.0), RelaySettings(duplicate=1.0))
        route = relay.route(await relay.open_route())
        with udp() as alice, udp() as bob:
            route.set_peer("offerer", alice.getsockname())
            route.set_peer("answerer", bob.getsockname())
            alice.sendto(b"lost", route.stand_in("answerer"))
            bob.sendto(b"twice", route.stand_in("offerer"))
            assert [data for data, _ in await receive(alice, 2)] == [b"twice", b"twice"]
        stats = relay.stats()
        await relay.close()
        return stats

    assert asyncio.run(run())["lost_to_answerer"] == 1


def test_reordered_datagrams_all_arrive() -> None:
    async def run() -> list[int]:
        relay = Relay(RelaySettings(reorder=0.3), RelaySettings(), seed=2)
        route = relay.route(await relay.open_route())
        with udp() as alice, udp() as bob:
            route.set_peer("answerer", bob.getsockname())
            for number in range(100):
                alice.sendto(bytes([number]), route.stand_in("answerer"))
            got = [data[0] for data, _ in await receive(bob, 100)]
        await relay.close()
        return got

    got = asyncio.run(run())
    assert sorted(got) == list(range(100))
    swaps = sum(a > b for a, b in itertools.pairwise(got))
    assert 10 < swaps < 40


def test_a_call_runs_through_the_relay_process(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> tuple[list[ReceivedPacket], dict[str, int], int | None]:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "talkface.rough_network.relay",
                "--loss",
                "0.2,0",
                "--delay-ms",
                "20",
                "--seed",
                "3",
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        control = await RelayControl.connect(*json.loads(await process.stdout.readline())["control"])
        route = await control.ask(op="open")
        alice, bob = lab.link(), lab.link()
        got: list[ReceivedPacket] = []
        bob.on_audio(got.append)
        offer = await alice.create_offer()
        await control.ask(op="peer", route=route["route"], side="offerer", address=first_candidate(offer))
        answer = await bob.accept_offer(route_through(offer, tuple(route["offerer"])))
        await control.ask(op="peer", route=route["route"], side="answerer", address=first_candidate(answer))
        await alice.accept_answer(route_through(answer, tuple(route["answerer"])))
        await asyncio.gather(alice.wait_connected(20), bob.wait_connected(20))
        for index in range(200):
            alice.send_audio(speech_packets[index % 50], index * 2880, PacketCost(58, 0, 0, True, 2880))
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.2)
        stats = await control.stats()
        with pytest.raises(ConnectionError, match="route 99 does not exist"):
            await control.ask(op="peer", route=99, side="offerer", address=["127.0.0.1", 1])
        await asyncio.gather(alice.close(), bob.close())
        process.stdin.close()
        return got, stats, await asyncio.wait_for(process.wait(), 5)

    got, stats, code = asyncio.run(run())
    assert 130 <= len(got) <= 185, "a fifth is lost"
    assert stats["lost_to_answerer"] >= 15
    assert stats["lost_to_offerer"] == 0
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "1.5"], "relay loss is 1.5, must be a share between 0 and 1"),
        (["--delay-ms", "soon"], "--delay-ms: 'soon' is not a number"),
        (["--loss", "0,0,0"], "--loss takes one value or two, got 3"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_explains_every_option() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "talkface.rough_network.relay", "--help"], capture_output=True, text=True, check=True
    )
    for name in RelaySettings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in run.stdout
