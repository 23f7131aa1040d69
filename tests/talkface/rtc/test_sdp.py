"""Session descriptions as text."""

from __future__ import annotations

import pytest

from talkface.rtc.sdp import (
    MAX_SDP_BYTES,
    MAX_SDP_CANDIDATES,
    certificate_sha256,
    check_remote_sdp,
    first_candidate,
    outgoing_sdp,
    route_through,
)

SDP = "\r\n".join(
    [
        "v=0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=rtpmap:111 opus/48000/2",
        "a=fingerprint:sha-256 AA",
        "a=fingerprint:sha-512 BB",
        "a=candidate:1 1 udp 2130706431 fd00::7 1000 typ host",
        "a=candidate:2 1 udp 2130706431 192.0.2.7 2000 typ host",
        "a=candidate:3 1 udp 2130706431 3b1e.local 3000 typ host",
        "a=candidate:4 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 0.0.0.0 rport 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=candidate:2 1 udp 2130706431 192.0.2.7 2000 typ host",
        "",
    ]
)


def test_remote_description_loses_extensions_and_mdns_candidates_only() -> None:
    checked = check_remote_sdp(SDP)
    missing = set(SDP.split("\r\n")) - set(checked.split("\r\n"))
    assert {line.split(" ")[0] for line in missing} == {"a=extmap:1", "a=candidate:3"}


def test_remote_description_is_bounded() -> None:
    with pytest.raises(ValueError, match=f"is over {MAX_SDP_BYTES}"):
        check_remote_sdp("a" * (MAX_SDP_BYTES + 1))
    many = SDP + "a=candidate:9 1 udp 1 192.0.2.8 9 typ host\r\n" * MAX_SDP_CANDIDATES
    with pytest.raises(ValueError, match=f"more than {MAX_SDP_CANDIDATES} candidates"):
        check_remote_sdp(many)
    with pytest.raises(ValueError, match="candidate 'a=candidate:1 1 udp' is malformed"):
        check_remote_sdp("v=0\r\na=candidate:1 1 udp\r\n")


def test_outgoing_description_asks_the_browser_for_wideband_at_our_packet_time() -> None:
    lines = outgoing_sdp(SDP, 60, 8_000).split("\r\n")
    at = lines.index("a=rtpmap:111 opus/48000/2")
    assert lines[at + 1] == "a=fmtp:111 minptime=10;useinbandfec=0;stereo=0;usedtx=1;maxaveragebitrate=10000"
    assert lines.index("a=ptime:60") < lines.index("m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
    assert not [line for line in lines if "extmap" in line or "sha-512" in line]
    assert "maxaveragebitrate=12000" in outgoing_sdp(SDP, 60, 12_000)


def test_detour_replaces_every_candidate() -> None:
    assert first_candidate(SDP) == ("192.0.2.7", 2000)
    routed = route_through(SDP, ("127.0.0.1", 5555))
    candidates = [line for line in routed.split("\r\n") if line.startswith("a=candidate")]
    assert candidates == ["a=candidate:2 1 udp 2130706431 127.0.0.1 5555 typ host"] * 2


def test_detour_needs_an_ipv4_address() -> None:
    with pytest.raises(ValueError, match="no IPv4 host candidate"):
        first_candidate("v=0\r\na=candidate:1 1 udp 2130706431 fd00::7 1000 typ host\r\n")


DIGEST = ":".join(["AB"] * 32)
FINGERPRINT = f"a=fingerprint:sha-256 {DIGEST}\r\n"


@pytest.mark.parametrize(
    ("sdp", "expected"),
    [
        (FINGERPRINT, b"\xab" * 32),
        (FINGERPRINT + FINGERPRINT.lower(), b"\xab" * 32),
        ("v=0\r\n", None),
        (FINGERPRINT + FINGERPRINT.replace("AB", "CD", 1), None),
        (FINGERPRINT + f"a=fingerprint:sha-384 {DIGEST}\r\n", None),
        (FINGERPRINT + f"A=Fingerprint:SHA-512 {DIGEST}\r\n", None),
        (f"a=fingerprint:sha-1 {DIGEST}\r\n", None),
        ("a=fingerprint:sha-256 AB:CD\r\n", None),
    ],
)
def test_a_call_is_bound_to_the_only_certificate_that_a_description_allows(sdp: str, expected: bytes | None) -> None:
    assert certificate_sha256(sdp) == expected
