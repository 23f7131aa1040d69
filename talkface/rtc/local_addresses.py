"""Addresses of this machine, to notice that it has moved to another network."""

from __future__ import annotations

import psutil


def host_addresses() -> list[str]:
    """IPv4 and global IPv6 addresses of this machine, loopback and link-local ones left out."""
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        is_up = name in (stats := psutil.net_if_stats()) and stats[name].isup
        for entry in addresses:
            if not is_up or entry.family.name not in ("AF_INET", "AF_INET6"):
                continue
            address = entry.address
            if not address.startswith(("127.", "169.254.", "fe80", "::1")) and "%" not in address:
                found.append(address)
    return found
