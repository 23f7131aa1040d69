"""Session descriptions as text: what we strip, what we ask for, and how a call is led through a detour.

RFC 8866 (SDP), RFC 8839 (candidates), RFC 7587 section 7 (Opus parameters). A peer's description is hostile: its size
is bounded here, its content is parsed by aiortc, whose complaints `link` turns into `LinkError`.
"""

from __future__ import annotations

import re

MAX_SDP_BYTES = 32_768
MAX_SDP_CANDIDATES = 40
_SHA256 = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){31}")
_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\s*$", re.IGNORECASE)


def _lines(sdp: str) -> list[str]:
    return [line for line in re.split(r"\r?\n", sdp) if line]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def is_candidate(line: str) -> bool:
    """True for a line that names an ICE candidate."""
    return line.startswith("a=candidate:")


def candidate_address(line: str) -> tuple[str, int]:
    """Host and port of a candidate line.

    Raises:
        ValueError: the line is not a candidate.
    """
    fields = line.split()
    if not is_candidate(line) or len(fields) < 8 or not fields[5].isdigit():
        raise ValueError(f"candidate {line[:80]!r} is malformed")
    return fields[4], int(fields[5])


def check_remote_sdp(sdp: str) -> str:
    """A peer's description within its limits, without header extensions (8 bytes per packet) and `.local` candidates.

    Looking up a `.local` (mDNS) candidate would take a second and multicast traffic; the browser's own checks reach us.

    Raises:
        ValueError: it is too large or a candidate is malformed.
    """
    if len(sdp) > MAX_SDP_BYTES:
        raise ValueError(f"session description of {len(sdp)} bytes is over {MAX_SDP_BYTES}")
    kept = [
        line
        for line in lean_lines(_lines(sdp))
        if not (is_candidate(line) and candidate_address(line)[0].endswith(".local"))
    ]
    if sum(map(is_candidate, kept)) > MAX_SDP_CANDIDATES:
        raise ValueError(f"session description names more than {MAX_SDP_CANDIDATES} candidates")
    return _text(kept)


def lean_lines(lines: list[str]) -> list[str]:
    """Without header extensions, which neither side then puts on packets."""
    return [line for line in lines if not line.startswith("a=extmap")]


def outgoing_sdp(sdp: str, packet_ms: int, bitrate_bps: int) -> str:
    """Our description as the far end gets it: no header extensions, and what a browser's Opus encoder shall do.

    A browser obeys `ptime` and `maxaveragebitrate`; below 10 kbps it falls to narrowband, so that is the least asked.
    """
    wanted = f"minptime=10;useinbandfec=0;stereo=0;usedtx=1;maxaveragebitrate={max(bitrate_bps, 10_000)}"
    result: list[str] = []
    in_audio = False
    for line in lean_lines(_lines(sdp)):
        if line.startswith(("a=fingerprint:sha-384", "a=fingerprint:sha-512")):
            continue  # sha-256 is what everyone checks; the others are a third of the text
        if line.startswith("m="):
            if in_audio:
                result.append(f"a=ptime:{packet_ms}")
            in_audio = line.startswith("m=audio")
        result.append(line)
        match = _OPUS.match(line)
        if match:
            result.append(f"a=fmtp:{match[1]} {wanted}")
    if in_audio:
        result.append(f"a=ptime:{packet_ms}")
    return _text(result)


def first_candidate(sdp: str) -> tuple[str, int]:
    """Address of the first IPv4 host candidate over UDP.

    Raises:
        ValueError: there is none.
    """
    for line in _lines(sdp):
        if is_candidate(line) and " udp " in line.lower() and " typ host" in line and ":" not in line.split()[4]:
            return candidate_address(line)
    raise ValueError("session description has no IPv4 host candidate to lead through the detour")


def route_through(sdp: str, address: tuple[str, int]) -> str:
    """The description with one candidate only: the detour at `address` in place of the peer."""
    real = first_candidate(sdp)
    result: list[str] = []
    for line in _lines(sdp):
        if is_candidate(line):
            if candidate_address(line) != real:
                continue
            fields = line.split()
            fields[4], fields[5] = address[0], str(address[1])
            line = " ".join(fields)
        result.append(line)
    return _text(result)


def certificate_sha256(sdp: str) -> bytes | None:
    """SHA-256 of the one DTLS certificate that a description allows (RFC 8122); None when it names several, or none.

    Any that is named will do for the handshake: with several, the far end would choose what the call is bound to.
    """
    named = {line.partition(":")[2].lower() for line in _lines(sdp) if line.lower().startswith("a=fingerprint:")}
    if len(named) != 1:
        return None
    algorithm, _, digits = named.pop().partition(" ")
    if algorithm != "sha-256" or _SHA256.fullmatch(digits.strip()) is None:
        return None
    return bytes.fromhex(digits.strip().replace(":", ""))
