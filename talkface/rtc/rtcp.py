"""RTCP of one audio stream in each direction: fewer and smaller reports than aiortc's, and what they say.

Every class runs without a network; time is an argument in microseconds. RFC 3550 section 6.4 (SR, RR), appendix A.3
(loss) and A.8 (jitter); RFC 5506 (reduced size: a sender report without its 48-byte CNAME).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from protocol.interfaces import ReceptionReport
from protocol.rtp_time import RTP_CLOCK_HZ, SequenceUnwrapper, TimestampUnwrapper

SENDER_REPORT = 200
RECEIVER_REPORT = 201
GOODBYE = 203
BLOCK = struct.Struct("!IIIIII")
HEADER = struct.Struct("!BBH")
MAX_REMEMBERED_SENDER_REPORTS = 16
NTP_UNITS_PER_S = 65536
"""RTCP's "compact" NTP time counts in 1/65536 s."""
EARLY_REPORT_LOSS = 0.02
"""Loss that makes a receiver report leave at once instead of with the next interval (RFC 4585's early feedback)."""
EARLY_REPORT_AFTER_US = 1_000_000


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One reception report block as it stands on the wire."""

    ssrc: int
    fraction_lost: int
    """In 1/256."""
    jitter_ticks: int
    last_sender_report: int
    delay_since_sender_report: int


@dataclass(frozen=True, slots=True)
class RtcpContents:
    """What this program reads in one RTCP datagram."""

    blocks: tuple[ReportBlock, ...] = ()
    last_sender_report: int | None = None
    """Middle 32 bits of the NTP time of the sender report in it."""
    is_goodbye: bool = False


def parse_rtcp(data: bytes) -> RtcpContents:
    """Read a compound or reduced-size RTCP datagram.

    Raises:
        ValueError: the bytes are not RTCP.
    """
    blocks: list[ReportBlock] = []
    last_sender_report, is_goodbye, at = None, False, 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError(f"rtcp packet header has {len(data) - at} of 8 bytes")
        flags, kind, words = HEADER.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if flags >> 6 != 2 or end > len(data) or words < 1:
            raise ValueError(f"rtcp packet type {kind} version or length is wrong")
        start = at + 8
        if kind == SENDER_REPORT:
            if end - start < 20:
                raise ValueError("rtcp sender report is truncated")
            last_sender_report = int.from_bytes(data[start + 2 : start + 6], "big")
            start += 20
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            if end - start < 24 * (flags & 31):
                raise ValueError("rtcp report blocks are truncated")
            blocks += [_parse_block(data, start + 24 * i) for i in range(flags & 31)]
        is_goodbye |= kind == GOODBYE
        at = end
    return RtcpContents(tuple(blocks), last_sender_report, is_goodbye)


def _parse_block(data: bytes, at: int) -> ReportBlock:
    ssrc, lost, _, jitter, lsr, dlsr = BLOCK.unpack_from(data, at)
    return ReportBlock(ssrc, lost >> 24, jitter, lsr, dlsr)


class RtcpThinner:
    """Decides about each RTCP packet that aiortc wants to send: one per kind and interval, without the CNAME."""

    def __init__(self, interval_s: float) -> None:
        self._interval_us = int(interval_s * 1e6)
        self._last_us: dict[int, int] = {}
        self._sender_reports: dict[int, int] = {}

    def admit(self, data: bytes, now_us: int) -> bytes | None:
        """What to send instead of `data`; None for nothing."""
        kind = data[1]
        if kind == GOODBYE:
            return data
        if kind == SENDER_REPORT:
            data = data[: 4 * (int.from_bytes(data[2:4], "big") + 1)]
            if not int.from_bytes(data[20:24], "big"):
                return None  # nothing has been sent yet: there is nothing to report
        last_us = self._last_us.get(kind)
        if last_us is not None and now_us - last_us < self._interval_us:
            return None
        self._last_us[kind] = now_us
        if kind == SENDER_REPORT:
            self._sender_reports[int.from_bytes(data[10:14], "big")] = now_us
            while len(self._sender_reports) > MAX_REMEMBERED_SENDER_REPORTS:
                del self._sender_reports[next(iter(self._sender_reports))]
        return data

    def reception_report(self, block: ReportBlock, now_us: int) -> ReceptionReport:
        """What a report block about our stream says; the round trip comes from our own send times."""
        sent_us = self._sender_reports.get(block.last_sender_report)
        round_trip_ms = None
        if block.last_sender_report and sent_us is not None:
            delay_us = block.delay_since_sender_report * 1_000_000 // NTP_UNITS_PER_S
            round_trip_ms = max(0.0, (now_us - sent_us - delay_us) / 1000)
        return ReceptionReport(
            fraction_lost=block.fraction_lost / 256,
            jitter_ms=block.jitter_ticks * 1000 / RTP_CLOCK_HZ,
            round_trip_ms=round_trip_ms,
        )


class _Stream:
    """Counts of one SSRC: loss (RFC 3550 A.1, A.3) and jitter (A.8)."""

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._sequence, self._time = SequenceUnwrapper(), TimestampUnwrapper()
        self._first = self.highest = 0
        self._received = self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self.jitter_ticks = 0.0

    def count(self, sequence_number: int, rtp_timestamp: int, arrival_us: int) -> None:
        """One packet has come."""
        number = self._sequence.unwrap(sequence_number)
        if self._received:
            self._first, self.highest = min(self._first, number), max(self.highest, number)
        else:
            self._first = self.highest = number
        self._received += 1
        transit = arrival_us * RTP_CLOCK_HZ / 1e6 - self._time.unwrap(rtp_timestamp)
        if self._transit is not None:
            self.jitter_ticks += (abs(transit - self._transit) - self.jitter_ticks) / 16
        self._transit = transit

    @property
    def lost(self) -> int:
        """Packets missing since the start; negative when there were more duplicates."""
        return self.highest - self._first + 1 - self._received

    def fraction_lost(self) -> float:
        """Share of the packets missing since the last report, 0..1."""
        expected = self.highest - self._first + 1 - self._expected_before
        lost = max(0, expected - (self._received - self._received_before))
        return lost / expected if expected > 0 else 0.0

    def reported(self) -> None:
        """A report has been made: the next fraction counts from here."""
        self._expected_before = self.highest - self._first + 1
        self._received_before = self._received


class ReceptionStatistics:
    """What our receiver reports say of the stream being received; a new SSRC starts afresh."""

    def __init__(self, interval_s: float) -> None:
        self._interval_us = int(interval_s * 1e6)
        self._stream: _Stream | None = None
        self._last_report_us: int | None = None
        self._last_loss = 0.0
        self._last_sender_report = (0, 0)

    def packet_received(self, ssrc: int, sequence_number: int, rtp_timestamp: int, arrival_us: int) -> None:
        """Count one packet of the stream."""
        if self._stream is None or ssrc != self._stream.ssrc:
            self._stream = _Stream(ssrc)
        self._stream.count(sequence_number, rtp_timestamp, arrival_us)
        if self._last_report_us is None:
            self._last_report_us = arrival_us

    def sender_report_received(self, last_sender_report: int, now_us: int) -> None:
        """Remember the far end's sender report, to be echoed."""
        self._last_sender_report = (last_sender_report, now_us)

    def receiver_report(self, own_ssrc: int, now_us: int) -> bytes | None:
        """The receiver report that is due now, or None: one per interval, and early when a clean stream turns lossy."""
        stream = self._stream
        if stream is None or self._last_report_us is None:
            return None
        since_us, loss = now_us - self._last_report_us, stream.fraction_lost()
        is_early = self._last_loss <= EARLY_REPORT_LOSS < loss and since_us >= EARLY_REPORT_AFTER_US
        if since_us < self._interval_us and not is_early:
            return None
        self._last_report_us, self._last_loss = now_us, loss
        stream.reported()
        lost_total = max(-(1 << 23), min((1 << 23) - 1, stream.lost))
        lsr, lsr_us = self._last_sender_report
        dlsr = (now_us - lsr_us) * NTP_UNITS_PER_S // 1_000_000 if lsr else 0
        return HEADER.pack(0x81, RECEIVER_REPORT, 7) + struct.pack(
            "!IIIIIII",
            own_ssrc,
            stream.ssrc,
            min(255, int(loss * 256)) << 24 | lost_total & 0xFFFFFF,
            stream.highest & 0xFFFFFFFF,
            int(stream.jitter_ticks) & 0xFFFFFFFF,
            lsr,
            dlsr & 0xFFFFFFFF,
        )
