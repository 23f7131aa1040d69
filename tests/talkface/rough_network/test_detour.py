"""The detour, as a process of its own too, with real datagrams through it."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.interfaces import PacketCost, ReceivedPacket
from talkface.child.options_file import write_options
from talkface.options import DetourOptions, NetworkOptions
from talkface.rough_network.control import DetourControl
from talkface.rough_network.detour import Detour
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
        detour = Detour(NetworkOptions(), NetworkOptions())
        route = detour.route(await detour.open_route())
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
        assert detour.stats() == {
            "passed_to_answerer": 50,
            "lost_to_answerer": 0,
            "passed_to_offerer": 1,
            "lost_to_offerer": 0,
        }
        await detour.close()

    asyncio.run(run())


def test_each_direction_has_its_own_settings() -> None:
    async def run() -> dict[str, int]:
        detour = Detour(NetworkOptions(loss=1.0), NetworkOptions(duplicate=1.0))
        route = detour.route(await detour.open_route())
        with udp() as alice, udp() as bob:
            route.set_peer("offerer", alice.getsockname())
            route.set_peer("answerer", bob.getsockname())
            alice.sendto(b"lost", route.stand_in("answerer"))
            bob.sendto(b"twice", route.stand_in("offerer"))
            assert [data for data, _ in await receive(alice, 2)] == [b"twice", b"twice"]
        stats = detour.stats()
        await detour.close()
        return stats

    assert asyncio.run(run())["lost_to_answerer"] == 1


def test_reordered_datagrams_all_arrive() -> None:
    async def run() -> list[int]:
        detour = Detour(NetworkOptions(reorder=0.3, seed=2), NetworkOptions())
        route = detour.route(await detour.open_route())
        with udp() as alice, udp() as bob:
            route.set_peer("answerer", bob.getsockname())
            for number in range(100):
                alice.sendto(bytes([number]), route.stand_in("answerer"))
            got = [data[0] for data, _ in await receive(bob, 100)]
        await detour.close()
        return got

    got = asyncio.run(run())
    assert sorted(got) == list(range(100))
    swaps = sum(a > b for a, b in itertools.pairwise(got))
    assert 10 < swaps < 40


def test_a_call_runs_through_a_process_of_its_own(lab: LinkLab, speech_packets: list[bytes], tmp_path: Path) -> None:
    options = DetourOptions(
        to_answerer=NetworkOptions(loss=0.2, delay_ms=20, seed=3), to_offerer=NetworkOptions(delay_ms=20, seed=3)
    )

    async def run() -> tuple[list[ReceivedPacket], dict[str, int], int | None]:
        write_options(tmp_path / "options.json", options)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "talkface.rough_network", str(tmp_path / "options.json")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        control = await DetourControl.connect(*json.loads(await process.stdout.readline())["control"])
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
