"""Addresses of this machine."""

from __future__ import annotations

from talkface.rtc.local_addresses import host_addresses


def test_host_addresses_leave_out_loopback() -> None:
    addresses = host_addresses()
    assert all(not address.startswith(("127.", "::1", "fe80")) for address in addresses)
