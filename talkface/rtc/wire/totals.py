"""What a call's wire has carried, as report.json has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTotals:
    """One component of the wire, IP and UDP of its own datagrams counted under `ip_udp`."""

    bytes: int
    kbps: float
    """Over the whole call."""
    talking_kbps: float
    """Over the stretches in which the speaker spoke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionTotals:
    """One direction of the wire, everything from IP upward, set-up and identity apart."""

    kbps: float
    talking_kbps: float
    bytes: int
    datagrams: int
    components: dict[str, ComponentTotals]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTotals:
    """What the wire meter counted; up is away from this side."""

    duration_s: float
    talk_s: float
    """Sound in the packets of speech that left."""
    heard_talk_s: float
    """And that came in."""
    setup_bytes: int
    identity_bytes: int
    up: DirectionTotals
    down: DirectionTotals
