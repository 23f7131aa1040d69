"""What a call sends per second: four presets, each with its cost on the wire per direction.

Costs count every byte of an IPv4 datagram: IP, UDP, RTP, SRTP tag, Opus, style, redundancy, RTCP and STUN. The Opus
rates are means measured on real speech, wideband forced, VBR.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

IP_UDP_BYTES = 28
"""IPv4 and UDP headers; IPv6 adds 20 bytes (2.67 kbps at 60 ms)."""
RTP_HEADER_BYTES = 12
RTCP_STUN_KBPS = 0.50
"""One report per kind each 5 s (0.17 kbps) and consent checks each 5 s (0.33 kbps)."""
COMFORT_NOISE_INTERVAL_MS = 400
"""While the voice gate is closed, one comfort-noise packet at least this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How one direction of a call is coded and carried."""

    name: str
    bitrate_bps: int
    """Asked of the Opus encoder: mono, wideband, VBR."""
    packet_ms: int
    """Sound per packet."""
    redundancy: bool
    """The previous Opus packet rides in each packet."""
    srtp_tag_bits: int
    """80, or 32 where every byte counts and a peer offers it; a browser always gets 80."""
    rtcp_interval_s: float
    """Shortest time between two RTCP packets of one kind."""
    packets_per_style: int
    """A style block rides in every n-th packet while talking; where n is above 1, in one between too when the face
    moves quickly and `style_limit_bps` has room."""
    style_limit_bps: int
    """Most that style may add to the wire on average (payload, block header, Opus padding syntax): the sender leaves a
    block out when it would go over. A block costs 4 bytes beside its payload."""
    opus_kbps: float
    """Measured mean of the coded sound while talking."""

    @property
    def packet_ticks(self) -> int:
        """Sound per packet in 48 kHz ticks."""
        return self.packet_ms * 48

    @property
    def style_hz(self) -> Fraction:
        """Style blocks per second while talking."""
        return Fraction(1000, self.packet_ms * self.packets_per_style)

    @property
    def expected_kbps(self) -> float:
        """Whole cost while talking with style at its limit, per direction."""
        headers_bits = 8 * (IP_UDP_BYTES + RTP_HEADER_BYTES) + self.srtp_tag_bits
        sound = self.opus_kbps * (2 if self.redundancy else 1)
        return sound + headers_bits / self.packet_ms + self.style_limit_bps / 1000 + RTCP_STUN_KBPS


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        # 10.2 kbps on the wire. 120 ms packets cost 60 ms of latency more.
        Preset(
            name="minimum",
            bitrate_bps=6_000,
            packet_ms=120,
            redundancy=False,
            srtp_tag_bits=32,
            rtcp_interval_s=5.0,
            packets_per_style=1,
            style_limit_bps=900,
            opus_kbps=5.85,
        ),
        # 15.9 kbps. Below 8 kbps wideband the fricatives suffer and the face loses /s/ and /f/.
        Preset(
            name="default",
            bitrate_bps=8_000,
            packet_ms=60,
            redundancy=False,
            srtp_tag_bits=80,
            rtcp_interval_s=5.0,
            packets_per_style=2,
            style_limit_bps=1_000,
            opus_kbps=7.70,
        ),
        # 19.9 kbps. Clearly better sound, style in every packet.
        Preset(
            name="good",
            bitrate_bps=12_000,
            packet_ms=60,
            redundancy=False,
            srtp_tag_bits=80,
            rtcp_interval_s=5.0,
            packets_per_style=1,
            style_limit_bps=1_200,
            opus_kbps=11.55,
        ),
        # 23.6 kbps. Any single lost packet is repaired exactly; needs about 100 ms of playout delay.
        Preset(
            name="robust",
            bitrate_bps=8_000,
            packet_ms=60,
            redundancy=True,
            srtp_tag_bits=80,
            rtcp_interval_s=5.0,
            packets_per_style=2,
            style_limit_bps=1_000,
            opus_kbps=7.70,
        ),
    )
}
"""By name."""


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"preset {name!r} is unknown, choose one of {', '.join(PRESETS)}") from None
