"""Where the bytes are booked, datagram by datagram."""

from __future__ import annotations

import struct

from protocol.audio_payload import parse_audio_payload
from protocol.interfaces import PacketCost
from protocol.opus_padding import add_padding, comfort_noise_packet
from protocol.style_block import StyleBlock
from talkface.report.report import COMPONENT_LABELS
from talkface.rtc.wire.meter import COMPONENTS, ControlPhase, LinkTap, WireMeter

TOC = 0x58  # SILK wideband, 60 ms, mono
SPEECH = bytes([TOC]) + bytes(range(1, 58))
STUN = b"\x00\x01" + bytes(86)
DTLS = b"\x17\xfe\xfd" + bytes(97)
RTCP = b"\x80\xc8" + bytes(40)


class Now:
    def __init__(self) -> None:
        self.us = 1_000_000

    def now_us(self) -> int:
        return self.us


def started() -> tuple[Now, WireMeter, LinkTap]:
    now = Now()
    meter = WireMeter(now)
    tap = meter.open_link()
    tap.is_set_up = True
    tap.control_phase = ControlPhase.CALL
    meter.start()
    return now, meter, tap


def srtp(payload: bytes, number: int = 1) -> bytes:
    return struct.pack("!BBHII", 0x80, 0xE0, number, number * 2880, 7) + payload + bytes(10)


def sizes(meter: WireMeter, way: str) -> dict[str, int]:
    direction = getattr(meter.snapshot(), way)
    return {name: entry.bytes for name, entry in direction.components.items() if entry.bytes}


def test_components_are_those_of_the_report() -> None:
    assert tuple(COMPONENT_LABELS) == COMPONENTS


def test_a_sent_packet_divides_as_its_cost_says() -> None:
    _, meter, tap = started()
    payload = bytes(58 + 16 + 57)
    tap.expect_rtp(PacketCost(58, 16, 57, True, 2880))
    tap.sent(srtp(payload), 28)
    assert sizes(meter, "up") == {
        "opus": 58,
        "style": 16,
        "redundancy": 57,
        "rtp_header": 12,
        "srtp_tag": 10,
        "ip_udp": 28,
    }
    assert meter.snapshot().up.bytes == 28 + len(srtp(payload))


def test_a_received_packet_divides_by_what_is_in_it() -> None:
    now, meter, tap = started()
    payload = add_padding(SPEECH, StyleBlock(style=b"123456789012", redundancy=SPEECH).to_bytes())
    tap.received(srtp(payload), 28)
    arrived = now.us
    now.us += 3000
    assert tap.rtp_delivered(srtp(payload)[2:12], parse_audio_payload(payload)) == arrived
    found = sizes(meter, "down")
    assert found["redundancy"] == 58
    assert found["style"] == len(payload) - 58 - 58
    assert found["opus"] == 58
    assert meter.snapshot().down.bytes == 28 + len(srtp(payload))
    assert meter.snapshot().heard_talk_s == 0.06


def test_undecryptable_and_repeated_datagrams_are_counted_too() -> None:
    now, meter, tap = started()
    tap.received(srtp(SPEECH), 28)
    tap.received(srtp(SPEECH), 28)
    assert tap.rtp_delivered(srtp(SPEECH)[2:12], parse_audio_payload(SPEECH)) is not None
    assert tap.rtp_delivered(srtp(SPEECH)[2:12], parse_audio_payload(SPEECH)) is None
    for number in range(2, 1000):
        tap.received(srtp(b"forged", number), 28)
    now.us += 2_000_000
    expected = 2 * (28 + len(srtp(SPEECH))) + 998 * (28 + len(srtp(b"forged")))
    assert meter.snapshot().down.bytes == expected
    assert meter.snapshot().down.datagrams == 1000


def test_setup_identity_and_call_are_kept_apart() -> None:
    now = Now()
    meter = WireMeter(now)
    tap = meter.open_link()
    tap.sent(STUN, 28)
    tap.received(DTLS, 28)
    tap.is_set_up = True
    meter.start()
    tap.sent(DTLS, 28)  # hello
    tap.control_phase = ControlPhase.IDENTITY
    tap.sent(DTLS, 48)
    tap.control_phase = ControlPhase.CALL
    tap.sent(DTLS, 28)
    tap.sent(STUN, 28)
    tap.received(RTCP, 28)
    snapshot = meter.snapshot()
    assert snapshot.setup_bytes == 88 + 28 + 2 * (100 + 28)
    assert snapshot.identity_bytes == 148
    assert sizes(meter, "up") == {"dtls_sctp": 100, "stun": 88, "ip_udp": 56}
    assert sizes(meter, "down") == {"rtcp": 42, "ip_udp": 28}


def test_talking_rates_divide_talking_bytes_by_talking_time() -> None:
    now, meter, tap = started()
    for number in range(100):
        is_talking = number < 50
        payload = SPEECH if is_talking else comfort_noise_packet(TOC)
        tap.expect_rtp(PacketCost(len(payload), 0, 0, is_talking, 2880))
        tap.sent(srtp(payload, number), 28)
        if number in (10, 80):
            tap.sent(STUN, 28)
        now.us += 60_000
    up = meter.snapshot().up
    talking = 50 * (28 + 22 + 58) + 116
    assert meter.snapshot().talk_s == 3.0
    assert up.talking_kbps == round(talking * 8 / 3.0 / 1000, 3)
    assert up.kbps == round((talking + 50 * (28 + 22 + 1) + 116) * 8 / 6.0 / 1000, 3)
    assert up.components["stun"].talking_kbps == round(88 * 8 / 3.0 / 1000, 3)


def test_turn_framing_is_booked_as_stun() -> None:
    _, meter, tap = started()
    tap.expect_rtp(PacketCost(58, 0, 0, True, 2880))
    tap.sent(srtp(SPEECH), 28, 4)
    assert sizes(meter, "up")["stun"] == 4
    assert meter.snapshot().up.datagrams == 1
    assert meter.snapshot().up.bytes == 28 + 4 + len(srtp(SPEECH))


def test_the_meter_outlives_a_reconnect_and_stops() -> None:
    now, meter, tap = started()
    tap.sent(STUN, 28)
    second = meter.open_link()
    second.sent(STUN, 28)
    assert meter.snapshot().setup_bytes == 116
    second.is_set_up = True
    second.sent(STUN, 28)
    now.us += 1_000_000
    meter.stop()
    now.us += 9_000_000
    assert meter.snapshot().duration_s == 1.0
    assert meter.snapshot().up.kbps == round(232 * 8 / 1000, 3)
