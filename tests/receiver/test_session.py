"""The receiving session live: a link in memory, real threads, a real MP4."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from proofs import proof_of

from protocol.errors import ProtocolError
from protocol.identity.transfer import identity_chunks, offer_identity
from protocol.interfaces import EndCause, SessionEnd
from protocol.messages import Bye, Hello, IdentityData, IdentityRequest, decode_message, encode_message
from receiver.errors import InvalidStateError, PeerIncompatibleError, SessionCrashedError, SinkUnavailableError
from receiver.identity_store import IdentityStore
from receiver.session import ReceivingSession
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import CallbackSink

DEFAULT_LEVEL, OWN_LEVEL = 50, 200


@pytest.fixture
def make_session(kit: ModuleType) -> Callable[..., tuple[ReceivingSession, Any, list[int]]]:
    """A session, its link, and the red level of every frame that it shows."""

    def make(*sinks: Any, **options: Any) -> tuple[ReceivingSession, Any, list[int]]:
        link, levels = kit.MemoryLink(), []
        model = options.pop("model", None) or kit.ChartModel()
        session = ReceivingSession(
            link,
            kit.MonotonicClock(),
            model,
            [CallbackSink(lambda index, samples, image: levels.append(int(image[0, 0, 0]))), *sinks],
            default_identity=kit.FaceIdentity(z=np.full(8, DEFAULT_LEVEL, dtype=np.float32)),
            **options,
        )
        return session, link, levels

    return make


def stream(kit: ModuleType, packets: list[bytes], **options: Any) -> Any:
    style = kit.style_payload(np.zeros(16, dtype=np.float32))
    return kit.Stream(packets, style=lambda index: style, has_redundancy=True, **options)


def test_whole_call_with_loss_garbage_and_identity(
    kit: ModuleType, make_session: Callable[..., Any], speech_packets: list[bytes], tmp_path: Path
) -> None:
    session, link, levels = make_session(
        Mp4Sink(tmp_path / "call.mp4"), identity_store=IdentityStore(tmp_path / "identities")
    )
    identity = kit.make_identity(float(OWN_LEVEL))

    async def run() -> None:
        rng = random.Random(1)
        async with session:
            link.deliver_control(b"garbage")
            link.deliver_control(encode_message(session.control.hello))
            link.deliver_control(encode_message(proof_of(identity.to_bytes())))
            link.deliver_control(encode_message(offer_identity(identity.to_bytes())))
            link.deliver_audio(kit.received(1, 2, b"\xff\xff", 3, kit.MonotonicClock().now_us()))
            await asyncio.sleep(0.05)
            [request] = link.sent
            assert isinstance(request, IdentityRequest)
            for chunk in identity_chunks(identity.to_bytes(), request):
                link.deliver_control(encode_message(chunk))
            await kit.play_live(
                link, stream(kit, speech_packets), 40, lost=lambda index: index > 0 and rng.random() < 0.1
            )
            link.deliver_control(encode_message(Bye(reason="enough")))
            assert await asyncio.wait_for(session.wait_ended(), 5) == SessionEnd(EndCause.PEER_LEFT, "enough")

    asyncio.run(run())
    stats = session.stats()
    assert json.loads(json.dumps(asdict(stats)))["identity"] == "somebody"
    assert stats.audio.malformed == 1
    assert stats.control.malformed == 1
    assert stats.audio.packets_received + stats.audio.lost in (39, 40)
    assert stats.audio.longest_sound_stall_ms == 0
    assert stats.style.decoded == stats.audio.packets_received
    assert stats.video.frames_expected >= 55
    assert 0 < stats.video.frames_shown <= stats.video.frames_expected  # how many: the machine's business
    assert set(levels) <= {DEFAULT_LEVEL, OWN_LEVEL}
    assert levels[-1] == OWN_LEVEL
    assert len(session.pcm_ready()) == stats.audio.packets_received
    assert IdentityStore(tmp_path / "identities").load(identity.content_hash()) is not None
    with av.open(str(tmp_path / "call.mp4")) as container:
        frames = [round(float(frame.pts * frame.time_base) * 25) for frame in container.decode(video=0)]
    assert frames == sorted(set(frames))
    assert len(frames) == stats.video.frames_shown


def test_new_link_keeps_face_timeline_and_counters(
    kit: ModuleType, make_session: Callable[..., Any], speech_packets: list[bytes]
) -> None:
    session, link, _ = make_session()

    async def run() -> None:
        async with session:
            await kit.play_live(link, stream(kit, speech_packets), 8, lost=lambda index: False)
            replacement = kit.MemoryLink()
            await session.replace_link(replacement)
            link.deliver_audio(kit.Stream(speech_packets).packet(9, kit.MonotonicClock().now_us()))
            fresh = stream(kit, speech_packets, first_sequence=3, first_timestamp=4, ssrc=9)
            await kit.play_live(replacement, fresh, 8, lost=lambda index: False)
            await asyncio.sleep(0.3)

    asyncio.run(run())
    stats = session.stats()
    assert stats.audio.packets_received == 16
    assert stats.audio.lost == 0
    assert stats.video.frames_expected > 18
    assert stats.video.frames_shown > 0


def test_transfer_that_broke_off_goes_on_over_the_new_link(kit: ModuleType, make_session: Callable[..., Any]) -> None:
    session, link, _ = make_session()
    file = kit.make_identity().to_bytes()
    offer = offer_identity(file)

    def part(start: int, end: int | None) -> bytes:
        data = IdentityData(content_sha256=offer.content_sha256, offset_bytes=start, data=file[start:end])
        return encode_message(data)

    async def run() -> None:
        async with session:
            link.deliver_control(encode_message(proof_of(file)))
            link.deliver_control(encode_message(offer))
            link.deliver_control(part(0, 50))
            await asyncio.sleep(0.05)
            assert link.sent == [IdentityRequest(content_sha256=offer.content_sha256, offset_bytes=0)]
            replacement = kit.MemoryLink()
            await session.replace_link(replacement)
            link.deliver_control(part(50, None))  # too late: nobody listens to the old link
            await asyncio.sleep(0.05)
            assert session.control.identity.name is None
            [request] = replacement.sent
            assert request == IdentityRequest(content_sha256=offer.content_sha256, offset_bytes=50)
            replacement.deliver_control(part(50, None))
            assert session.control.identity.name is None, "nothing without a proof for the new link"
            replacement.deliver_control(encode_message(proof_of(file)))
            replacement.deliver_control(part(50, None))
            assert session.control.identity.name == "somebody"

    asyncio.run(run())
    assert session.stats().control.received == 6, "over both links"


def test_peer_without_control_channel_drives_the_default_face(
    kit: ModuleType, make_session: Callable[..., Any]
) -> None:
    session, link, levels = make_session()
    link.has_control = False
    packets = kit.encode(kit.make_speech(1.0), packet_ms=20, bitrate_bps=32_000)

    async def run() -> None:
        async with session:
            await kit.play_live(link, kit.Stream(packets, packet_ms=20), 30, lost=lambda index: False)
            await asyncio.sleep(0.3)

    asyncio.run(run())
    assert session.stats().audio.packets_received == 30
    assert set(levels) == {DEFAULT_LEVEL}
    assert session.notes == ()


def test_other_version_ends_the_session_with_a_clear_error(make_session: Callable[..., Any]) -> None:
    session, link, _ = make_session()

    async def run() -> None:
        async with session:
            message = bytearray(encode_message(session.control.hello))
            message[3] = 9
            link.deliver_control(bytes(message))
            for _ in range(2):  # whoever asks, and however often
                with pytest.raises(PeerIncompatibleError, match="update talkface"):
                    await asyncio.wait_for(session.wait_ended(), 2)

    asyncio.run(run())


def test_crash_of_a_task_is_an_error_and_no_hang_up(
    kit: ModuleType, make_session: Callable[..., Any], speech_packets: list[bytes]
) -> None:
    class BrokenDecoder(kit.ByteStyleDecoder):
        def decode(self, payload: bytes, *, is_contiguous: bool) -> Any:
            raise ZeroDivisionError("a bug in a style decoder")

    model = kit.ChartModel()
    model.payload_decoder = BrokenDecoder
    session, link, _ = make_session(model=model)

    async def run() -> None:
        async with session:
            await kit.play_live(link, stream(kit, speech_packets), 4, lost=lambda index: False)
            with pytest.raises(SessionCrashedError, match=r"session failed: ZeroDivisionError: a bug in a style"):
                await asyncio.wait_for(session.wait_ended(), 2)

    asyncio.run(run())


def test_stop_ends_the_session_from_any_state(make_session: Callable[..., Any]) -> None:
    async def run() -> None:
        session, link, _ = make_session()
        await session.stop()
        assert await session.wait_ended() == SessionEnd(EndCause.STOPPED)
        assert link.sent == [], "nobody was greeted, so nobody is told"
        with pytest.raises(InvalidStateError, match="after its end"):
            await session.start()
        running, _, _ = make_session()
        waiting = asyncio.create_task(running.wait_ended())
        async with running:
            assert not waiting.done()
        assert await waiting == await running.wait_ended() == SessionEnd(EndCause.STOPPED)

    asyncio.run(run())


def test_mismatch_becomes_a_note(make_session: Callable[..., Any]) -> None:
    notes: list[str] = []
    session, link, _ = make_session(on_note=notes.append)
    hello = session.control.hello

    async def run() -> None:
        async with session:
            other = Hello(
                weights_sha256="12" * 32,
                resolution_px=hello.resolution_px,
                frame_rate=hello.frame_rate,
                style_table_id=hello.style_table_id,
            )
            link.deliver_control(encode_message(other))

    asyncio.run(run())
    assert len(notes) == 1
    assert session.stats().notes == tuple(notes)


def test_session_without_any_packet_ends_cleanly(make_session: Callable[..., Any], tmp_path: Path) -> None:
    session, _, levels = make_session(Mp4Sink(tmp_path / "call.mp4"))

    async def run() -> None:
        await session.start()
        with pytest.raises(InvalidStateError, match="twice"):
            await session.start()
        await session.stop()
        await session.stop()

    asyncio.run(run())
    stats = session.stats()
    assert stats.duration_s == 0.0
    assert (stats.video.frames_expected, stats.video.frames_shown, stats.video.fps) == (0, 0, 0.0)
    assert stats.av_skew_ms.p95 is None
    assert levels == []
    assert not (tmp_path / "call.mp4").exists()


def test_sink_that_cannot_open_stops_the_start(make_session: Callable[..., Any], tmp_path: Path) -> None:
    session, _, _ = make_session(Mp4Sink(tmp_path / "nowhere" / "call.mp4"))
    with pytest.raises(SinkUnavailableError, match="nowhere"):
        asyncio.run(session.start())
    with pytest.raises(InvalidStateError, match="not started"):
        session.stats()
    asyncio.run(session.stop())


def test_exception_in_the_call_still_finishes_the_file(
    kit: ModuleType, make_session: Callable[..., Any], speech_packets: list[bytes], tmp_path: Path
) -> None:
    session, link, _ = make_session(Mp4Sink(tmp_path / "call.mp4"))

    async def run() -> None:
        async with session:
            await kit.play_live(link, stream(kit, speech_packets), 10, lost=lambda index: False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())
    with av.open(str(tmp_path / "call.mp4")) as container:
        assert sum(1 for _ in container.decode()) >= 1


def test_audio_flood_and_garbage_do_not_hurt(
    kit: ModuleType, make_session: Callable[..., Any], speech_packets: list[bytes]
) -> None:
    session, link, _ = make_session()

    async def run() -> None:
        rng = random.Random(1)
        async with session:
            for index in range(5_000):
                payload = rng.choice([rng.randbytes(rng.randrange(80)), rng.choice(speech_packets)])
                now_us = kit.MonotonicClock().now_us()
                link.deliver_audio(kit.received(rng.randrange(65_536), index * 48, payload, rng.randrange(3), now_us))
                link.deliver_control(rng.randbytes(rng.randrange(100)))
                if index % 500 == 0:
                    await asyncio.sleep(0)
            await kit.play_live(link, stream(kit, speech_packets, ssrc=1234), 8, lost=lambda index: False)
            await asyncio.sleep(0.2)

    asyncio.run(run())
    stats = session.stats()
    assert stats.audio.malformed + stats.audio.stray > 1_000
    assert stats.control.flooded > 4_000
    assert stats.video.frames_shown > 0
    with pytest.raises(ProtocolError):
        decode_message(b"garbage")
