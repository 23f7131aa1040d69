"""What one side of a call counted, as a file: how loopback learns what its two processes saw.

The record holds raw observations; `talkface/report/build.py` turns one or two of them into a report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from receiver.session_stats import ReceivingStats
from receiver.sinks.recording import Recording
from sender.session_stats import SendingStats
from talkface.rtc.wire.totals import WireTotals
from talkface.typed_json import from_json, to_json

RECORD_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRecord:
    """Observations of one side. Times are CLOCK_MONOTONIC, which processes of one machine share."""

    role: str
    """"send", "receive" or "call"."""
    preset: str = ""
    style: str = ""
    weights: str = ""
    runtime: str = ""
    start_us: int = 0
    """When the call's time began."""
    wire: WireTotals
    sent: tuple[tuple[int, int], ...] = ()
    """(RTP timestamp, time in us) of each RTP packet that left."""
    ready: tuple[tuple[int, int], ...] = ()
    """(RTP timestamp, time in us) of each packet whose sound was ready to play."""
    sending: SendingStats | None = None
    """None when this side does not send."""
    receiving: ReceivingStats | None = None
    """None when this side does not receive."""
    memory: tuple[tuple[float, float], ...] = ()
    """(seconds since start, resident MB)."""
    wire_up: tuple[tuple[float, float], ...] = ()
    """(seconds since start, kbps in that second)."""
    reconnects: int = 0
    recording: Recording | None = None
    """What this side recorded; None when it did not, or nothing came."""
    failure: str = ""
    """Why the call ended with an error; empty when it did not."""
    notes: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """What the user must hear at the end of a call that did not give all that was asked for; else empty."""
        recording = self.recording
        if not self.failure:
            return recording.describe() if recording is not None and recording.problem else ""
        return f"{self.failure}; {recording.describe()}" if recording is not None else self.failure

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps({"record_version": RECORD_VERSION, **to_json(self)}, allow_nan=False))


def read_record(path: Path) -> SideRecord:
    """Read what `SideRecord.write` wrote.

    Raises:
        ValueError: it is not such a file: another version, or a name is missing or unknown.
    """
    try:
        data = json.loads(path.read_text())
        if data.pop("record_version") != RECORD_VERSION:
            raise ValueError("the record is of another version")
        return from_json(SideRecord, data, "record")
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is no record of a call: {error}") from error
