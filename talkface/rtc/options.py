"""What a connection is made with: STUN and TURN servers, local addresses, and how lean the wire is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol.presets import Preset

_SERVER = re.compile(
    r"(?P<scheme>stun|turns?):(?:(?P<user>[^:@?]+):(?P<password>[^@?]+)@)?(?P<host>\[[0-9a-fA-F:]+\]|[^:@?/]+)"
    r"(?::(?P<port>\d{1,5}))?(?:\?transport=(?P<transport>udp|tcp))?"
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """One STUN or TURN server."""

    url: str
    """stun:HOST[:PORT], turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]?transport=tcp."""
    username: str | None = None
    credential: str | None = None


def parse_ice_servers(text: str) -> tuple[IceServer, ...]:
    """Servers from an option or environment variable, separated by spaces or commas; empty text means none.

    `stun:HOST[:PORT]`, `turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]`, `turns:...?transport=tcp`.

    Raises:
        ValueError: an entry is not one of these; the message names it, without its password.
    """
    servers = []
    for entry in re.split(r"[\s,]+", text.strip()):
        if not entry:
            continue
        match = _SERVER.fullmatch(entry)
        shown = re.sub(r":[^:@]*@", ":***@", entry)
        if match is None:
            raise ValueError(
                f"ICE server {shown!r} is not understood; write stun:HOST:PORT or "
                "turn:USER:PASSWORD@HOST:PORT?transport=udp (or tcp)"
            )
        if match["port"] and not 0 < int(match["port"]) < 65536:
            raise ValueError(f"ICE server {shown!r} has port {match['port']}, which is not in 1..65535")
        if match["scheme"] != "stun" and not match["user"]:
            raise ValueError(f"ICE server {shown!r} needs a user and a password: turn:USER:PASSWORD@HOST:PORT")
        transport = match["transport"] or ("tcp" if match["scheme"] == "turns" else None)
        url = f"{match['scheme']}:{match['host']}" + (f":{match['port']}" if match["port"] else "")
        url += f"?transport={transport}" if transport else ""
        servers.append(IceServer(url, match["user"], match["password"]))
    return tuple(servers)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How `RtcLink` connects."""

    ice_servers: tuple[IceServer, ...] = ()
    """Never a default: with none, only addresses of this machine are offered and nobody else is asked."""
    relay_only: bool = False
    """Use only addresses relayed by the TURN server."""
    bind_addresses: tuple[str, ...] | None = None
    """Local addresses to offer; None for all of this machine (127.0.0.1 when it has no other)."""
    srtp_tag_bits: int = 80
    """80, or 32: offered first, 80 stays acceptable."""
    rtcp_interval_s: float = 5.0
    ask_packet_ms: int = 60
    """Sound per packet that a browser is asked for."""
    ask_bitrate_bps: int = 10_000
    """Opus rate that a browser is asked for; at least 10 000 is asked."""

    def for_preset(self, preset: Preset) -> LinkOptions:
        """These options with the wire of `preset`."""
        return LinkOptions(
            ice_servers=self.ice_servers,
            relay_only=self.relay_only,
            bind_addresses=self.bind_addresses,
            srtp_tag_bits=preset.srtp_tag_bits,
            rtcp_interval_s=preset.rtcp_interval_s,
            ask_packet_ms=preset.packet_ms,
            ask_bitrate_bps=preset.bitrate_bps,
        )
