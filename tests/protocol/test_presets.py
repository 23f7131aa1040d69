"""Presets: their cost, counted again from the headers up."""

from __future__ import annotations

from fractions import Fraction

import pytest

from protocol.presets import PRESETS, get_preset


@pytest.mark.parametrize(
    ("name", "bitrate_bps", "packet_ms", "redundancy", "tag_bits", "style_hz"),
    [
        ("minimum", 6_000, 120, False, 32, Fraction(25, 3)),
        ("default", 8_000, 60, False, 80, Fraction(25, 3)),
        ("good", 12_000, 60, False, 80, Fraction(50, 3)),
        ("robust", 8_000, 60, True, 80, Fraction(25, 3)),
    ],
)
def test_what_presets_are(
    name: str, bitrate_bps: int, packet_ms: int, redundancy: bool, tag_bits: int, style_hz: Fraction
) -> None:
    preset = get_preset(name)
    assert (preset.bitrate_bps, preset.packet_ms, preset.redundancy) == (bitrate_bps, packet_ms, redundancy)
    assert (preset.srtp_tag_bits, preset.style_hz, preset.rtcp_interval_s) == (tag_bits, style_hz, 5.0)
    assert preset.packet_ticks == packet_ms * 48


def test_costs_meet_the_targets() -> None:
    assert PRESETS["default"].expected_kbps <= 16.0
    assert PRESETS["minimum"].expected_kbps <= 10.5
    for preset in PRESETS.values():
        assert preset.style_limit_bps <= 1_200


def test_cost_of_the_default_byte_by_byte() -> None:
    packets_per_s = 1000 / 60
    sound, ip_udp, rtp, tag, style, rtcp_stun = 7.70, 0.028 * 8, 0.012 * 8, 0.010 * 8, 1.0, 0.5
    expected = sound + packets_per_s * (ip_udp + rtp + tag) + style + rtcp_stun
    assert PRESETS["default"].expected_kbps == pytest.approx(expected)
    assert PRESETS["robust"].expected_kbps == pytest.approx(expected + sound)


def test_every_preset_has_room_for_a_refresh() -> None:
    for preset in PRESETS.values():
        bytes_per_block = preset.style_limit_bps / 8 / float(preset.style_hz)
        assert bytes_per_block >= 4 + 4, preset.name


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match=r"^preset 'best' is unknown, choose one of minimum, default, good, robust$"):
        get_preset("best")
