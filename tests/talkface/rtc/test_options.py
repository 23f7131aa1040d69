"""STUN and TURN servers from text."""

from __future__ import annotations

import pytest

from protocol.presets import get_preset
from talkface.rtc.options import IceServer, LinkOptions, parse_ice_servers


def test_servers_in_all_forms() -> None:
    text = "stun:s.example:3478, turn:ann:p+w@t.example:3478?transport=tcp turns:ann:pw@[2001:db8::1]"
    assert parse_ice_servers(text) == (
        IceServer("stun:s.example:3478"),
        IceServer("turn:t.example:3478?transport=tcp", "ann", "p+w"),
        IceServer("turns:[2001:db8::1]?transport=tcp", "ann", "pw"),
    )


def test_no_server_is_the_default() -> None:
    assert parse_ice_servers("  ") == () == LinkOptions().ice_servers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://x", "ICE server 'http://x' is not understood; write stun:HOST:PORT or turn:"),
        ("turn:t.example", "needs a user and a password"),
        ("turn:ann:secret@t.example:99999", r"'turn:ann:\*\*\*@t.example:99999' has port 99999"),
        ("turn:ann:secret@t.example?transport=sctp", r"'turn:ann:\*\*\*@t.example\?transport=sctp' is not"),
    ],
)
def test_wrong_servers_are_named_without_their_password(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_ice_servers(text)
    assert "secret" not in str(caught.value)


def test_preset_sets_the_wire_and_keeps_the_servers() -> None:
    options = LinkOptions(ice_servers=(IceServer("stun:s"),), relay_only=True, bind_addresses=("127.0.0.1",))
    chosen = options.for_preset(get_preset("minimum"))
    assert (chosen.srtp_tag_bits, chosen.ask_packet_ms) == (32, 120)
    assert (chosen.ice_servers, chosen.relay_only, chosen.bind_addresses) == (
        options.ice_servers,
        True,
        ("127.0.0.1",),
    )
    assert options.for_preset(get_preset("default")).srtp_tag_bits == 80
