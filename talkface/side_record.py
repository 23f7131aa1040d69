"""What one end of a call counted, as a file: how loopback learns what its two processes saw.

The record holds raw observations; `talkface/report/build.py` turns one or two of them into a report.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORD_VERSION = 1


@dataclass(slots=True, kw_only=True)
class SideRecord:
    """Observations of one end. Times are CLOCK_MONOTONIC, which processes of one machine share."""

    role: str
    """"send", "receive" or "call"."""
    preset: str = ""
    style: str = ""
    weights: str = ""
    runtime: str = ""
    start_us: int = 0
    """When the call's time began."""
    wire: dict[str, Any] = field(default_factory=dict)
    """`WireMeter.snapshot()`."""
    sent: list[tuple[int, int]] = field(default_factory=list)
    """(RTP timestamp, time in us) of each RTP packet that left."""
    ready: list[tuple[int, int]] = field(default_factory=list)
    """(RTP timestamp, time in us) of each packet whose sound was ready to play."""
    sending: dict[str, Any] = field(default_factory=dict)
    """`SendingSession.stats()`; empty when this end does not send."""
    receiving: dict[str, Any] = field(default_factory=dict)
    """`ReceivingSession.stats()`; empty when this end does not receive."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since start, resident MB)."""
    wire_up: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since start, kbps in that second)."""
    reconnects: int = 0
    notes: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps({"record_version": RECORD_VERSION, **asdict(self)}, allow_nan=False))


class SentLog:
    """When each of the last packets left: 16 bytes per packet, bounded."""

    CAPACITY = 65_536
    """An hour at 60 ms."""

    def __init__(self) -> None:
        self._timestamps, self._times_us = array("Q"), array("Q")
        self._count = 0

    def add(self, rtp_timestamp: int, now_us: int) -> None:
        """One packet; the oldest gives way when the log is full."""
        if self._count < self.CAPACITY:
            self._timestamps.append(rtp_timestamp)
            self._times_us.append(now_us)
        else:
            index = self._count % self.CAPACITY
            self._timestamps[index], self._times_us[index] = rtp_timestamp, now_us
        self._count += 1

    def rows(self) -> list[tuple[int, int]]:
        """(RTP timestamp, time in us), by time."""
        return sorted(zip(self._timestamps, self._times_us, strict=True), key=lambda row: row[1])


def read_record(path: Path) -> SideRecord:
    """Read what `SideRecord.write` wrote.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        data = json.loads(path.read_text())
        if data.pop("record_version") != RECORD_VERSION:
            raise ValueError("the record is of another version")
        record = SideRecord(**data)
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is no record of a call: {error}") from error
    for name in ("sent", "ready", "memory", "wire_up"):
        setattr(record, name, [(pair[0], pair[1]) for pair in getattr(record, name)])
    return record
