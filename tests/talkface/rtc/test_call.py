"""A call over the real signalling server, with the path between the ends treated badly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from protocol.errors import IdleTimeoutError, SignallingUnreachableError
from protocol.interfaces import PacketCost, ReceivedPacket
from protocol.signalling.client import SignallingClient
from protocol.signalling.guard import SignallingLimits
from protocol.signalling.messages import Description, Exchange, PeerJoined, PeerLeft, Refused, encode_signalling
from protocol.signalling.server import SignallingServer
from talkface.options import NetworkOptions
from talkface.rough_network.control import DetourControl, DetouredSignalling
from talkface.rough_network.detour import Detour
from talkface.rtc import stun
from talkface.rtc.call import CallState, RtcCall, Signalling
from talkface.rtc.link import LinkState, RtcLink

if TYPE_CHECKING:
    from conftest import LinkLab

pytestmark = pytest.mark.network
TALK = PacketCost(58, 0, 0, True, 2880)


class End:
    """One end that speaks all the time and notes when it hears something."""

    def __init__(self, lab: LinkLab, signalling: Signalling, speaks: bool = True) -> None:
        self.heard_s: list[float] = []
        self.states: list[CallState] = []
        self.links: list[RtcLink] = []
        self._speaks = speaks
        self.call = RtcCall(signalling, lab.link, self._use, lab.clock, self.states.append)

    def _use(self, link: RtcLink) -> None:
        self.links.append(link)
        link.on_audio(self._hear)

    def _hear(self, packet: ReceivedPacket) -> None:
        self.heard_s.append(asyncio.get_running_loop().time())

    async def run(self, packets: list[bytes]) -> None:
        speaking = asyncio.ensure_future(self._speak(packets))
        try:
            await self.call.run()
        finally:
            speaking.cancel()

    async def _speak(self, packets: list[bytes]) -> None:
        for index in range(10**6):
            if self.call.link is not None and self._speaks:
                self.call.link.send_audio(packets[index % len(packets)], index * 2880, TALK)
            await asyncio.sleep(0.06)


@asynccontextmanager
async def two_ends(
    lab: LinkLab, packets: list[bytes], detour: Detour | None = None, **options: Any
) -> AsyncIterator[tuple[End, End, list[asyncio.Task[None]]]]:
    async with SignallingServer("127.0.0.1", 0) as server:
        ends = []
        for name in ("alice", "bob"):
            client: Signalling = SignallingClient(f"ws://127.0.0.1:{server.port}", room="kitchen", secret="tea")
            if detour is not None and name == "alice":
                client = DetouredSignalling(client, await DetourControl.connect(*await detour.start()))
            ends.append(End(lab, client, **(options if name == "bob" else {})))
        tasks = [asyncio.ensure_future(end.run(packets)) for end in ends]
        try:
            yield ends[0], ends[1], tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if detour is not None:
                await detour.close()


def test_two_ends_meet_speak_and_part(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> None:
        async with two_ends(lab, speech_packets) as (alice, bob, tasks):
            await lab.until(lambda: len(alice.heard_s) > 5 and len(bob.heard_s) > 5)
            tasks[0].cancel()
            await asyncio.wait({tasks[1]}, timeout=5)
            assert tasks[1].done()
            assert tasks[1].exception() is None
            assert bob.states == [CallState.CONNECTING, CallState.CONNECTED, CallState.ENDED]
            assert alice.call.reconnects == bob.call.reconnects == 0
            assert all(link.state is LinkState.CLOSED for link in alice.links + bob.links)

    asyncio.run(run())


def test_a_blackout_heals_by_itself(lab: LinkLab, speech_packets: list[bytes]) -> None:
    rough = NetworkOptions(blackout_at_s=0.6, blackout_s=4.5)

    async def run() -> tuple[End, End]:
        async with two_ends(lab, speech_packets, Detour(rough, rough)) as (alice, bob, _):
            await lab.until(lambda: alice.heard_s and bob.heard_s)
            start_s = min(alice.heard_s[0], bob.heard_s[0])
            await lab.until(lambda: min(alice.heard_s[-1], bob.heard_s[-1]) > start_s + 5.0, timeout_s=15)
            await lab.until(lambda: CallState.INTERRUPTED not in (alice.call.state, bob.call.state))
            count = len(bob.heard_s)
            await lab.until(lambda: len(bob.heard_s) > count + 5)
            return alice, bob

    for end in asyncio.run(run()):
        gaps = [b - a for a, b in zip(end.heard_s, end.heard_s[1:], strict=False)]
        assert 4.0 < max(gaps) < 4.5 + 3.0, "sound is back within 3 s of the network"
        assert CallState.INTERRUPTED in end.states


def test_a_lost_link_is_replaced_and_the_old_one_closed(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> None:
        async with two_ends(lab, speech_packets) as (alice, bob, _):
            await lab.until(lambda: alice.heard_s and bob.heard_s)
            await bob.links[0].close()  # as when its network interface is gone
            await lab.until(lambda: len(alice.links) == len(bob.links) == 2, timeout_s=8)
            await lab.until(lambda: alice.links[0].state is LinkState.CLOSED)
            at = len(alice.heard_s)
            await lab.until(lambda: len(alice.heard_s) > at + 3)
            assert alice.call.reconnects == bob.call.reconnects == 1
            assert alice.call.link is alice.links[1]

    asyncio.run(run())


def test_a_round_trip_of_two_seconds_connects_and_stays(
    lab: LinkLab, speech_packets: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Consent checks follow each other closely and expire early: if the round trip were too long for them, the call
    # would end while this test looks on.
    monkeypatch.setattr(stun, "CONSENT_INTERVAL_S", 0.2)
    monkeypatch.setattr(stun, "CONSENT_EXPIRY_S", 3.0)
    slow = NetworkOptions(delay_ms=1000)

    async def run() -> tuple[End, End]:
        async with two_ends(lab, speech_packets, Detour(slow, slow)) as (alice, bob, _):
            await lab.until(lambda: alice.heard_s and bob.heard_s, timeout_s=20)
            await asyncio.sleep(5.0)
            return alice, bob

    for end in asyncio.run(run()):
        assert end.states[:2] == [CallState.CONNECTING, CallState.CONNECTED]
        assert CallState.INTERRUPTED not in end.states
        assert end.call.reconnects == 0


def test_a_peer_that_only_listens_is_not_taken_for_lost(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> End:
        async with two_ends(lab, speech_packets, speaks=False) as (alice, bob, _):
            await lab.until(lambda: bob.heard_s)
            await asyncio.sleep(5.0)
            assert not alice.heard_s
            return alice

    assert CallState.INTERRUPTED not in asyncio.run(run()).states


class CutOff:
    """Signalling of an end that loses the way to the server, and the server only."""

    def __init__(self, inner: SignallingClient) -> None:
        self._inner = inner
        self.is_cut = False
        self.send_description, self.close = inner.send_description, inner.close

    def cut(self) -> None:
        self.is_cut = True
        self._inner.rejoin()

    async def connect(self) -> None:
        if self.is_cut:
            raise SignallingUnreachableError("cut off")
        await self._inner.connect()

    async def next_event(self) -> PeerJoined | PeerLeft | Description:
        return await self._inner.next_event()


def test_an_hour_alone_at_the_server_does_not_end_a_call_that_runs(lab: LinkLab, speech_packets: list[bytes]) -> None:
    hours_s = 0.0

    async def run() -> None:
        nonlocal hours_s
        async with SignallingServer("127.0.0.1", 0, now_s=lambda: time.monotonic() + hours_s) as server:
            url = f"ws://127.0.0.1:{server.port}"
            cut_off = CutOff(SignallingClient(url, room="kitchen", secret="tea"))
            alice, bob = End(lab, SignallingClient(url, room="kitchen", secret="tea")), End(lab, cut_off)
            tasks = [asyncio.ensure_future(end.run(speech_packets)) for end in (alice, bob)]
            await lab.until(lambda: alice.heard_s and bob.heard_s)
            cut_off.cut()
            await lab.until(lambda: [len(room.members) for room in server.rooms._rooms.values()] == [1])
            hours_s += server.limits.alone_timeout_s + 1
            await lab.until(lambda: server.refusals == {IdleTimeoutError.code: 1})
            count = len(alice.heard_s)
            await lab.until(lambda: tasks[0].done() or len(alice.heard_s) > count + 20)
            assert not any(task.done() for task in tasks), "the call goes on"
            # She waits in the room as before, so the two can meet there again.
            await lab.until(lambda: len(server.rooms) == 1)
            cut_off.is_cut = False
            await lab.until(lambda: alice.call.reconnects == bob.call.reconnects == 1, timeout_s=15)
            assert all(CallState.INTERRUPTED not in end.states for end in (alice, bob))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(run())


def test_an_hour_alone_before_a_call_is_said(lab: LinkLab) -> None:
    async def run() -> None:
        async with SignallingServer("127.0.0.1", 0, limits=SignallingLimits(alone_timeout_s=0.1)) as server:
            call = End(lab, SignallingClient(f"ws://127.0.0.1:{server.port}", room="kitchen", secret="tea")).call
            with pytest.raises(IdleTimeoutError):
                await asyncio.wait_for(call.run(), 10)

    asyncio.run(run())


FORGED: dict[str, list[bytes | str]] = {
    "garbage": [b"garbage"],
    "text": ["hello"],
    "leave": [encode_signalling(PeerLeft(is_final=True))],
    "refusals": [encode_signalling(Refused(code="wrong-secret", reason="no"))] * 3,
    "another code": [encode_signalling(Refused(code="a new one", reason=""))],
    "replaced": [encode_signalling(Refused(code="replaced", reason=""))],
    "meetings": [encode_signalling(PeerJoined(generation=n, is_offerer=bool(n % 2))) for n in range(100, 400)],
    "descriptions": [
        encode_signalling(Description(generation=1, kind=kind, sdp="v=0", mac=bytes(32)))
        for kind in ("offer", "answer")
    ],
    "exchanges": [encode_signalling(Exchange(generation=1, share=bytes([n]) * 32)) for n in range(20)],
    "a message over the limit": [bytes(30_000)],
}


@pytest.mark.parametrize("name", FORGED)
def test_nothing_that_the_server_says_ends_a_call_in_which_media_flows(
    name: str, lab: LinkLab, speech_packets: list[bytes]
) -> None:
    async def run() -> None:
        server = SignallingServer("127.0.0.1", 0)
        await server.start()
        url = f"ws://127.0.0.1:{server.port}"
        ends = [End(lab, SignallingClient(url, room="kitchen", secret="tea")) for _ in "ab"]
        tasks = [asyncio.ensure_future(end.run(speech_packets)) for end in ends]
        await lab.until(lambda: all(end.heard_s for end in ends))
        for peer in list(server._peers):
            for frame in FORGED[name]:
                await peer.socket.send(frame)
        await asyncio.sleep(0.5)
        counts = [len(end.heard_s) for end in ends]
        await asyncio.sleep(1.5)
        assert not any(task.done() for task in tasks)
        assert all(len(end.heard_s) > count + 15 for end, count in zip(ends, counts, strict=True))
        assert all(CallState.INTERRUPTED not in end.states for end in ends)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await server.stop()

    asyncio.run(run())


def test_with_a_wrong_secret_nobody_comes(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> None:
        async with two_ends(lab, speech_packets) as (alice, bob, tasks):
            await lab.until(lambda: alice.heard_s and bob.heard_s)
            port = str(alice.call._signalling.url).rpartition(":")[2]  # type: ignore[attr-defined]
            eve = End(lab, SignallingClient(f"ws://127.0.0.1:{port}", room="kitchen", secret="coffee"))
            task = asyncio.ensure_future(eve.run(speech_packets))
            await asyncio.sleep(1.0)
            assert eve.call.state is CallState.WAITING
            assert not any(end.done() for end in [*tasks, task])
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())


def test_the_call_outlives_its_signalling_server(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> None:
        server = SignallingServer("127.0.0.1", 0)
        await server.start()
        port = server.port
        url = f"ws://127.0.0.1:{port}"
        ends = [End(lab, SignallingClient(url, room="kitchen", secret="tea")) for _ in "ab"]
        tasks = [asyncio.ensure_future(end.run(speech_packets)) for end in ends]
        await lab.until(lambda: all(end.heard_s for end in ends))
        await server.stop()
        counts = [len(end.heard_s) for end in ends]
        await asyncio.sleep(1.0)
        assert all(len(end.heard_s) > count + 10 for end, count in zip(ends, counts, strict=True))
        assert not any(task.done() for task in tasks)
        # A server in its place: the ends meet there again, and nobody is told of an interruption.
        async with SignallingServer("127.0.0.1", port):
            await lab.until(lambda: all(end.call.reconnects for end in ends), timeout_s=15)
        assert all(CallState.INTERRUPTED not in end.states for end in ends)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
