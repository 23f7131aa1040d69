"""How much memory this process may have: what the machine has, and what limits take away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

GB = 1e9
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = ("memory.max", "memory/memory.limit_in_bytes")
"""Of versions 2 and 1."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """One limit."""

    gb: float
    of: str
    """Whose it is, to follow "1.5 GB"."""
    is_addresses: bool = False
    """It counts what is mapped, not what is used."""


def memory_limits() -> list[MemoryLimit]:
    """Every limit that there is, the machine's own memory first."""
    machine = psutil.virtual_memory().total
    limits = [MemoryLimit(machine / GB, "in this machine")]
    limits += [MemoryLimit(size / GB, "for this container") for size in _cgroup_limits() if size < machine]
    addresses = _address_space()
    if addresses is not None:
        limits.append(MemoryLimit(addresses / GB, "of addresses for a process (ulimit -v)", is_addresses=True))
    return limits


def _cgroup_limits() -> Iterator[int]:
    for name in _CGROUP_FILES:
        try:
            text = (_CGROUP / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            yield int(text)


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
