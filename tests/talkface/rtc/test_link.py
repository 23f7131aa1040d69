"""Two links on the loopback address: real ICE, DTLS, SRTP, SCTP and Opus packets."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from protocol.audio_payload import AudioPayload
from protocol.control import ControlCounters, OtherVersion, ReceivedMessage
from protocol.identity.key import OwnerKey
from protocol.identity.proof import connection_words, proof_fits, prove_identity
from protocol.identity.transfer import offer_identity
from protocol.interfaces import EndCause, LinkBinding, PacketCost, ReceivedPacket, ReceptionReport, SessionEnd
from protocol.messages import (
    MAX_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    MESSAGE_MAGIC,
    Bye,
    Hello,
    IdentityData,
)
from protocol.opus_packet import parse_opus_packet
from protocol.opus_padding import PlainOpus, add_padding
from protocol.style_block import StyleBlock
from receiver.session import ReceivingSession
from receiver.session_stats import ReceivingStats
from talkface.rtc.adapter import names
from talkface.rtc.control import control_phase
from talkface.rtc.link import LinkError, LinkState
from talkface.rtc.sdp import first_candidate
from talkface.rtc.wire.meter import ControlPhase
from talkface_core.face.model import tiny_face_model

if TYPE_CHECKING:
    from conftest import LinkLab

pytestmark = pytest.mark.network
TALK = PacketCost(58, 0, 0, True, 2880)


def test_style_blocks_arrive_bit_exact_with_their_sound(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> list[ReceivedPacket]:
        got: list[ReceivedPacket] = []
        async with lab.pair() as (alice, bob):
            bob.on_audio(got.append)
            for index, packet in enumerate(speech_packets[:60]):
                block = StyleBlock(style=bytes([index, 255 - index, 7]) * 4).to_bytes()
                padded = add_padding(packet, block)
                alice.send_audio(
                    padded, index * 2880, PacketCost(len(packet), len(padded) - len(packet), 0, True, 2880)
                )
                await asyncio.sleep(0.005)
            await lab.until(lambda: len(got) == 60)
        return got

    got = asyncio.run(run())
    first = got[0]
    for index, (received, packet) in enumerate(zip(got, speech_packets, strict=False)):
        content = received.content
        assert isinstance(content, AudioPayload)
        assert content.opus == PlainOpus(packet, 2880, is_empty=False)
        assert content.style == bytes([index, 255 - index, 7]) * 4
        assert (received.sequence_number - first.sequence_number) % 65536 == index
        assert (received.rtp_timestamp - first.rtp_timestamp) % 2**32 == index * 2880
        assert received.ssrc == first.ssrc
    arrivals = [packet.arrival_time_us for packet in got]
    assert arrivals == sorted(arrivals)


def test_a_packet_is_parsed_once_on_its_way_through_link_and_session(lab: LinkLab, speech_packets: list[bytes]) -> None:
    """Link, wire meter, intake, jitter buffer, repair and decoder share one parse; the sending link needs none."""
    model = tiny_face_model()
    parsed: list[bytes] = []
    redundancy = speech_packets[30:50]
    payloads = [
        add_padding(opus, StyleBlock(style=b"style", redundancy=before).to_bytes())
        for opus, before in zip(speech_packets, redundancy, strict=False)
    ]

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is parse_opus_packet.__code__:
            parsed.append(frame.f_locals["packet"])

    async def run() -> ReceivingStats:
        async with lab.pair() as (alice, bob):
            session = ReceivingSession(bob, lab.clock, model, [], default_identity=model.default_identity())
            await session.start()
            parsed.clear()
            sys.setprofile(watch)
            try:
                for index, payload in enumerate(payloads):
                    alice.send_audio(payload, index * 2880, TALK)
                    await asyncio.sleep(0.06)
                await lab.until(lambda: len(session.pcm_ready()) == len(payloads))
            finally:
                sys.setprofile(None)
            await session.stop()
            return session.stats()

    stats = asyncio.run(run())
    assert stats.audio.packets_received == len(payloads)
    assert stats.style.decoded + stats.style.malformed + stats.style.waiting == len(payloads), "style was read too"
    assert Counter(parsed) == Counter([*payloads, *redundancy])


def test_reports_tell_loss_and_round_trip(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> list[ReceptionReport]:
        reports: list[ReceptionReport] = []
        async with lab.pair(rtcp_interval_s=1.0) as (alice, _):
            alice.on_report(reports.append)
            for index in range(400):
                alice.send_audio(speech_packets[index % 50], index * 2880, TALK)
                await asyncio.sleep(0.01)
                if len([r for r in reports if r.round_trip_ms is not None]) >= 2:
                    break
        return reports

    with_round_trip = [report for report in asyncio.run(run()) if report.round_trip_ms is not None]
    assert len(with_round_trip) >= 2
    assert all(report.fraction_lost == 0 for report in with_round_trip)
    assert all(report.round_trip_ms is not None and 0 <= report.round_trip_ms < 500 for report in with_round_trip)


def test_control_messages_arrive_whole_and_in_order(lab: LinkLab) -> None:
    messages = [
        IdentityData(content_sha256="ab" * 32, offset_bytes=n, data=bytes([n]) * (1 + n * 173 % MAX_CHUNK_BYTES))
        for n in range(100)
    ]

    async def run() -> tuple[list[ReceivedMessage], list[ReceivedMessage]]:
        at_bob: list[ReceivedMessage] = []
        at_alice: list[ReceivedMessage] = []
        async with lab.pair() as (alice, bob):
            bob.on_control(at_bob.append)
            alice.on_control(at_alice.append)
            for message in messages:
                await alice.send_control(message)
            await bob.send_control(Bye(reason="from bob"))
            await lab.until(lambda: len(at_bob) == len(messages) and at_alice)
        return at_bob, at_alice

    at_bob, at_alice = asyncio.run(run())
    assert at_bob == messages
    assert at_alice == [Bye(reason="from bob")]


def test_the_link_greets_first_and_says_bye_once(lab: LinkLab) -> None:
    hello = Hello.of(tiny_face_model().info, agent="alice")

    async def run() -> tuple[list[ReceivedMessage], list[ReceivedMessage]]:
        early: list[ReceivedMessage] = []
        late: list[ReceivedMessage] = []
        alice, bob = lab.link(hello=hello), lab.link()
        bob.on_control(early.append)
        await lab.join(alice, bob)
        await alice.send_control(Bye(reason="a message of a session"))
        await alice.say_bye("done")
        await lab.until(lambda: len(early) == 3)
        bob.on_control(late.append)
        await alice.close()
        await alice.say_bye("nobody hears that")
        await bob.close()
        return early, late

    early, late = asyncio.run(run())
    assert early == [hello, Bye(reason="a message of a session"), Bye(reason="done")]
    assert late == early, "who comes later gets what it has missed"


@pytest.mark.parametrize(("bits", "tag_bytes"), [(80, 10), (32, 4)])
def test_srtp_tag_is_the_one_asked_for(lab: LinkLab, bits: int, tag_bytes: int) -> None:
    async def run() -> tuple[Any, Any]:
        async with lab.pair(srtp_tag_bits=bits) as (alice, bob):
            return alice.stats().srtp_tag_bytes, bob.stats().srtp_tag_bytes

    assert asyncio.run(run()) == (tag_bytes, tag_bytes)


def test_a_short_tag_at_one_end_only_falls_back_to_80_bits(lab: LinkLab) -> None:
    async def run() -> tuple[Any, Any]:
        alice, bob = lab.link(srtp_tag_bits=32), lab.link()
        await lab.join(alice, bob)
        tags = alice.stats().srtp_tag_bytes, bob.stats().srtp_tag_bytes
        await asyncio.gather(alice.close(), bob.close())
        return tags

    assert asyncio.run(run()) == (10, 10)


def test_an_idle_connection_costs_only_consent_checks(lab: LinkLab) -> None:
    async def run() -> dict[str, Any]:
        alice, bob = lab.link(), lab.link()
        await lab.join(alice, bob)
        await alice.send_control(Bye(reason="x"))
        await asyncio.sleep(1.0)  # acknowledgement and its delay
        before = alice._meter.snapshot()
        await asyncio.sleep(3.0)
        after = alice._meter.snapshot()
        await asyncio.gather(alice.close(), bob.close())
        return {
            name: after.up.components[name].bytes - before.up.components[name].bytes for name in after.up.components
        }

    cost = asyncio.run(run())
    assert cost["dtls_sctp"] == 0
    assert cost["opus"] == cost["rtp_header"] == 0
    assert cost["stun"] <= 2 * (100 + 76)


def test_closing_one_end_tells_the_other(lab: LinkLab) -> None:
    async def run() -> None:
        states: list[LinkState] = []
        async with lab.pair() as (alice, bob):
            bob.on_state(states.append)
            await alice.close()
            await lab.until(lambda: bob.state is LinkState.CLOSED)
            with pytest.raises(LinkError, match="ended"):
                await bob.send_control(Bye())
            bob.send_audio(b"x", 0, TALK)
            assert bob.stats().unsent_audio == 1
        assert states == [LinkState.CLOSED]

    asyncio.run(run())


def test_close_is_safe_at_any_time(lab: LinkLab) -> None:
    async def run() -> None:
        fresh = lab.link()
        await fresh.close()
        await fresh.close()
        offering = lab.link()
        await offering.create_offer()
        waiting = asyncio.ensure_future(offering.wait_connected(30))
        await asyncio.sleep(0.01)
        await offering.close()
        with pytest.raises(LinkError):
            await waiting

    asyncio.run(run())


def test_a_peer_that_vanishes_in_the_handshake_is_a_clear_error(lab: LinkLab) -> None:
    async def run() -> None:
        alice, bob = lab.link(), lab.link()
        answer = await bob.accept_offer(await alice.create_offer())
        await bob.close()
        _, port = first_candidate(answer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            answer = answer.replace(f" {port} typ", f" {silent.getsockname()[1]} typ")
            await alice.accept_answer(answer)
            with pytest.raises(LinkError, match="no connection to the far end after 1 s"):
                await alice.wait_connected(1.0)
        await alice.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "garbage",
        "v=0\r\nm=audio nine UDP/TLS/RTP/SAVPF 96\r\n",
        "v=0\r\n" + "a=x:y\r\n" * 9000,
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=candidate:1 1\r\n",
    ],
)
def test_an_unusable_offer_is_one_kind_of_error(lab: LinkLab, sdp: str) -> None:
    async def run() -> None:
        link = lab.link()
        with pytest.raises(LinkError, match="far end's offer is unusable"):
            await link.accept_offer(sdp)
        await link.close()

    asyncio.run(run())


def test_a_flood_from_strangers_does_not_stop_the_sound(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> tuple[int, int]:
        got: list[ReceivedPacket] = []
        alice, bob = lab.link(), lab.link()
        offer = await alice.create_offer()
        answer = await bob.accept_offer(offer)
        await alice.accept_answer(answer)
        await asyncio.gather(alice.wait_connected(10), bob.wait_connected(10))
        bob.on_audio(got.append)
        target = first_candidate(answer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
            for index in range(40):
                alice.send_audio(speech_packets[index], index * 2880, TALK)
                for junk in range(60):
                    kinds = (
                        b"\x80\x60" + junk.to_bytes(10, "big"),
                        b"\x16\xfe\xfd",
                        b"\x00\x01\x00\x00!\x12\xa4B",
                        b"",
                    )
                    flooder.sendto(kinds[junk % 4] + bytes(100), target)
                await asyncio.sleep(0.01)
        await lab.until(lambda: len(got) == 40)
        dropped = bob.stats().dropped_datagrams
        await asyncio.gather(alice.close(), bob.close())
        return len(got), dropped

    received, dropped = asyncio.run(run())
    assert received == 40
    assert dropped > 1000


def test_both_ends_bind_proofs_to_the_same_connection_and_no_other(lab: LinkLab) -> None:
    async def run() -> list[LinkBinding | None]:
        bindings: list[LinkBinding | None] = []
        for _ in range(2):
            async with lab.pair() as links:
                bindings += [link.binding for link in links]
        return bindings

    alice, bob, again, _ = asyncio.run(run())
    assert alice is not None
    assert bob is not None
    assert again is not None
    assert alice == replace(bob, is_offerer=True)
    proof = prove_identity(bob, OwnerKey.generate(), "c0" * 32)
    assert proof_fits(alice, proof)
    assert not proof_fits(again, proof), "a replay in another call"
    assert connection_words(alice) == connection_words(bob) != connection_words(again)


def test_garbage_on_the_control_channel_is_dropped_and_counted(lab: LinkLab) -> None:
    async def run() -> tuple[list[ReceivedMessage], Any, ControlCounters]:
        got: list[ReceivedMessage] = []
        async with lab.pair() as (alice, bob):
            bob.on_control(got.append)
            await alice.wait_control()
            channel: Any = alice._control._channel
            channel.send("text, which the protocol does not know")
            channel.send(bytes(MAX_MESSAGE_BYTES + 1))
            channel.send(b"\xff\x00garbage")
            channel.send(b"")
            channel.send(bytes([MESSAGE_MAGIC, 99, 0x90]))
            await alice.send_control(Bye(reason="after all that"))
            await lab.until(lambda: got)
            return got, bob.stats().dropped_control, bob.control_counters

    got, dropped, counters = asyncio.run(run())
    assert got == [Bye(reason="after all that")]
    assert dropped == 2
    assert counters == ControlCounters(received=4, malformed=2, ignored=1)


def test_sctp_bytes_that_aiortc_cannot_handle_do_not_end_the_call(lab: LinkLab, speech_packets: list[bytes]) -> None:
    async def run() -> tuple[int, int]:
        got: list[ReceivedPacket] = []
        async with lab.pair() as (alice, bob):
            bob.on_audio(got.append)
            await alice.wait_control()
            dtls: Any = alice._negotiation.connection.getTransceivers()[0].receiver.transport
            for junk in (b"x", bytes(11), bytes(200), bytes(range(256)) * 4):
                await dtls._send_data(junk)
            for index in range(5):
                alice.send_audio(speech_packets[index], index * 2880, TALK)
            await lab.until(lambda: len(got) == 5)
            await alice.send_control(Bye())
            return len(got), bob.state is LinkState.CONNECTED

    assert asyncio.run(run()) == (5, True)


def test_garbage_instead_of_sound_does_not_end_a_receiving_session(lab: LinkLab, speech_packets: list[bytes]) -> None:
    model = tiny_face_model()
    rng = random.Random(5)

    async def run() -> tuple[ReceivingStats, SessionEnd, bool]:
        async with lab.pair() as (alice, bob):
            session = ReceivingSession(bob, lab.clock, model, [], default_identity=model.default_identity())
            await session.start()
            ticks = 0
            for index in range(300):
                payload = rng.randbytes(rng.randint(1, 1200))
                if index % 3 == 0:  # speech with a few bytes changed
                    payload = bytearray(speech_packets[index % 50])
                    payload[rng.randrange(len(payload))] = rng.randrange(256)
                ticks += rng.choice((0, 480, 2880, 48_000))
                alice.send_audio(bytes(payload), ticks, TALK)
                await asyncio.sleep(0.002)
            for packet in speech_packets[:20]:
                ticks += 2880
                alice.send_audio(packet, ticks, TALK)
                await asyncio.sleep(0.03)
            stats, is_up = session.stats(), bob.state is LinkState.CONNECTED
            await session.stop()
            return stats, await session.wait_ended(), is_up

    stats, end, is_up = asyncio.run(run())
    assert is_up
    assert end == SessionEnd(EndCause.STOPPED), "it had not ended before"
    assert stats.audio.packets_received > 100


def test_a_session_that_fails_on_a_packet_does_not_end_the_link(
    lab: LinkLab, speech_packets: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(what: object) -> None:
        raise RuntimeError("a bug in a session")

    async def run() -> int:
        got: list[ReceivedPacket] = []
        async with lab.pair() as (alice, bob):
            bob.on_audio(fail)
            bob.on_audio(got.append)
            bob.on_control(fail)
            await alice.send_control(Bye())
            for index in range(5):
                alice.send_audio(speech_packets[index], index * 2880, TALK)
            await lab.until(lambda: len(got) == 5)
            assert bob.state is LinkState.CONNECTED
        return len(got)

    assert asyncio.run(run()) == 5
    assert "a session failed on what the far end sent" in caplog.text


def test_channel_after_channel_ends_the_link(lab: LinkLab) -> None:
    async def run() -> None:
        async with lab.pair() as (alice, bob):
            await alice.wait_control()
            for _ in range(8):
                alice._negotiation.connection.createDataChannel("more")
            await lab.until(lambda: bob.state is LinkState.CLOSED)

    asyncio.run(run())


def test_the_description_is_lean_and_names_no_third_party(lab: LinkLab) -> None:
    async def run() -> str:
        link = lab.link()
        sdp = await link.create_offer()
        await link.close()
        return sdp

    sdp = asyncio.run(run())
    assert "extmap" not in sdp
    assert "opus/48000/2" in sdp
    assert "PCMU" not in sdp
    assert "a=ptime:60\r\n" in sdp
    assert "maxaveragebitrate=10000" in sdp
    assert "typ srflx" not in sdp
    assert "typ relay" not in sdp
    assert len(sdp) < 4000


def test_relay_only_without_a_turn_server_is_a_clear_error(lab: LinkLab) -> None:
    async def run() -> None:
        link = lab.link(relay_only=True)
        with pytest.raises(LinkError, match="TURN server gave no relayed address"):
            await link.create_offer()
        await link.close()

    asyncio.run(run())


def test_control_phase_follows_the_message_type() -> None:
    hello = Hello(weights_sha256="0" * 64, resolution_px=256, frame_rate=Fraction(25), style_table_id=1)
    assert control_phase(hello) is ControlPhase.SETUP
    assert control_phase(OtherVersion("update talkface")) is ControlPhase.SETUP
    assert control_phase(offer_identity(b"file")) is ControlPhase.IDENTITY
    assert control_phase(Bye(reason="done")) is ControlPhase.CALL
    assert control_phase(None) is ControlPhase.CALL


def test_stock_parts_take_over_when_a_private_name_is_missing(
    lab: LinkLab, speech_packets: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(names, "missing_features", lambda: frozenset(names.Feature))
    caplog.set_level(logging.ERROR)

    async def run() -> list[ReceivedPacket]:
        got: list[ReceivedPacket] = []
        alice, bob = lab.link(bind_addresses=None), lab.link(bind_addresses=None)
        await lab.join(alice, bob)
        bob.on_audio(got.append)
        for index, packet in enumerate(speech_packets[:40]):
            alice.send_audio(packet, index * 2880, TALK)
            await asyncio.sleep(0.02)
        await lab.until(lambda: len(got) >= 60)
        await asyncio.gather(alice.close(), bob.close())
        return got

    got = asyncio.run(run())
    steps = {(b.rtp_timestamp - a.rtp_timestamp) % 2**32 for a, b in pairwise(got)}
    assert steps == {960}, "the stock path delivers 20 ms packets without a gap"
    assert not caplog.records
