"""Unwrapping and the guard of the timeline."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from protocol.audio_payload import MAX_RECEIVED_BYTES, parse_audio_payload
from protocol.interfaces import ReceivedPacket
from protocol.opus_padding import add_padding
from protocol.style_block import StyleBlock
from receiver.media_packet import PacketIntake


@pytest.fixture
def packets(kit: ModuleType, speech_packets: list[bytes]) -> list[ReceivedPacket]:
    """200 packets across the wrap of sequence number and timestamp."""
    stream = kit.Stream(speech_packets)
    return [stream.packet(index, stream.sent_us(index)) for index in range(200)]


def with_payload(packet: ReceivedPacket, payload: bytes) -> ReceivedPacket:
    """The packet as if these bytes had come in it."""
    return replace(packet, content=parse_audio_payload(payload))


def test_wrap_of_sequence_and_timestamp_is_not_seen(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    accepted = [intake.accept(packet) for packet in packets]
    assert packets[-1].sequence_number < packets[0].sequence_number
    assert packets[-1].rtp_timestamp < packets[0].rtp_timestamp
    assert [p.sequence - accepted[0].sequence for p in accepted if p and accepted[0]] == list(range(200))
    assert [p.start_ticks for p in accepted if p] == [index * 2880 for index in range(200)]
    assert intake.counters.received == 200


def test_misordered_packet_gets_an_earlier_place(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    intake.accept(packets[0])
    later, earlier = intake.accept(packets[2]), intake.accept(packets[1])
    assert later is not None
    assert earlier is not None
    assert later.start_ticks - earlier.start_ticks == 2880


def test_style_and_redundancy_are_taken_out(packets: list[ReceivedPacket], speech_packets: list[bytes]) -> None:
    block = StyleBlock(style=b"abc", redundancy=speech_packets[4])
    padded = with_payload(packets[5], add_padding(speech_packets[5], block.to_bytes()))
    media = PacketIntake().accept(padded)
    assert media is not None
    assert (media.style, media.opus.data) == (b"abc", speech_packets[5])
    repair = media.repair_of_previous()
    assert repair is not None
    assert (repair.sequence, repair.start_ticks) == (media.sequence - 1, media.start_ticks - 2880)
    assert repair.opus.data == speech_packets[4]
    assert repair.is_repair


@pytest.mark.parametrize("redundancy", [b"", b"\x4b", b"\x48", b"\xff\xff\xff"])
def test_redundancy_that_holds_no_sound_repairs_nothing(
    packets: list[ReceivedPacket], speech_packets: list[bytes], redundancy: bytes
) -> None:
    block = StyleBlock(style=b"x", redundancy=redundancy)
    media = PacketIntake().accept(with_payload(packets[0], add_padding(speech_packets[0], block.to_bytes())))
    assert media is not None
    assert media.repair_of_previous() is None


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x03\x00", bytes(MAX_RECEIVED_BYTES + 1)])
def test_malformed_packet_is_dropped_and_counted(packets: list[ReceivedPacket], payload: bytes) -> None:
    intake = PacketIntake()
    assert intake.accept(with_payload(packets[0], payload)) is None
    assert intake.counters.malformed == 1
    assert intake.accept(packets[1]) is not None


def test_damaged_style_block_costs_only_the_style(packets: list[ReceivedPacket], speech_packets: list[bytes]) -> None:
    intake = PacketIntake()
    media = intake.accept(with_payload(packets[0], add_padding(speech_packets[0], b"\x00\x1fab")))
    assert media is not None
    assert media.style == b""
    assert intake.counters.bad_style_blocks == 1


def test_one_stray_packet_of_another_source_is_dropped(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    intake.accept(packets[0])
    assert intake.accept(replace(packets[1], ssrc=1)) is None
    assert intake.accept(packets[1]) is not None
    assert (intake.counters.stray, intake.counters.restarts) == (1, 0)


def test_two_packets_of_a_new_source_start_a_new_stream_ahead_of_the_old(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    old = intake.accept(packets[0])
    new = [replace(p, ssrc=1, rtp_timestamp=(p.rtp_timestamp + 0x5A5A5A5A) & 0xFFFFFFFF) for p in packets[1:4]]
    assert intake.accept(new[0]) is None
    restarted = intake.accept(new[1])
    assert old is not None
    assert restarted is not None
    assert restarted.is_restart
    assert restarted.start_ticks >= old.end_ticks
    assert restarted.sequence > old.sequence + 1
    following = intake.accept(new[2])
    assert following is not None
    assert not following.is_restart
    assert following.sequence == restarted.sequence + 1


@pytest.mark.parametrize("jump", [-1_000_000, 48_000 * 60, 2**31])
def test_timestamp_jump_is_not_believed_once_but_twice(packets: list[ReceivedPacket], jump: int) -> None:
    intake = PacketIntake()
    intake.accept(packets[0])
    jumped = [replace(p, rtp_timestamp=(p.rtp_timestamp + jump) & 0xFFFFFFFF) for p in packets]
    assert intake.accept(jumped[1]) is None
    restarted = intake.accept(jumped[2])
    assert restarted is not None
    assert restarted.is_restart
    assert 0 < restarted.start_ticks < 10 * 2880


def test_pause_of_the_network_is_no_jump(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    intake.accept(packets[0])
    media = intake.accept(packets[170])  # 10 s later by both clocks
    assert media is not None
    assert not media.is_restart
    assert media.start_ticks == 170 * 2880


def test_alternating_sources_cannot_restart_at_every_packet(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    for index, packet in enumerate(packets[:100]):
        intake.accept(replace(packet, ssrc=index % 2))
    assert intake.counters.restarts == 0
    assert intake.counters.stray == 50


def test_new_link_starts_a_new_stream_at_once(packets: list[ReceivedPacket]) -> None:
    intake = PacketIntake()
    intake.accept(packets[0])
    intake.expect_new_stream()
    media = intake.accept(replace(packets[5], ssrc=5, sequence_number=9, rtp_timestamp=9))
    assert media is not None
    assert media.is_restart
    assert intake.counters.restarts == 1
