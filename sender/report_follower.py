"""From what the far end reports to the packets that follow: rate control's plan, and refreshes after a loss."""

from __future__ import annotations

import logging

from protocol.interfaces import Clock, ReceptionReport
from sender.packet_stream import PacketStream
from sender.rate_control import RateController, SendingPlan

logger = logging.getLogger(__name__)


class ReportFollower:
    """Reports come when they come; `apply` puts their consequences into a stream between two packets."""

    def __init__(self, rate: RateController, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._needs_refresh = False
        self.last_report: ReceptionReport | None = None

    @property
    def plan(self) -> SendingPlan:
        """What is sent now."""
        return self._rate.plan

    @property
    def num_plan_changes(self) -> int:
        return self._rate.num_changes

    def on_report(self, report: ReceptionReport) -> None:
        """The far end has lost packets, or a queue has built up, or all is well."""
        self.last_report = report
        self._needs_refresh |= report.fraction_lost > 0
        before = self._rate.plan
        plan = self._rate.on_report(report, self._clock.now_us() / 1000)
        if plan != before:
            logger.info(
                "sending %s%s%s from now on (loss %.0f %%, round trip %s ms)",
                plan.preset.name,
                " with redundancy" if plan.redundancy else "",
                "" if plan.with_lips else " without the lips layer",
                100 * report.fraction_lost,
                "?" if report.round_trip_ms is None else round(report.round_trip_ms),
            )

    def on_new_link(self) -> None:
        """Another path, and a receiver that may have missed what style was relative to."""
        self._rate.on_new_link()
        self._needs_refresh = True

    def apply(self, stream: PacketStream) -> None:
        """Between two packets, while nothing works on the stream."""
        plan = self._rate.plan
        stream.configure(plan.preset, redundancy=plan.redundancy, with_lips=plan.with_lips)
        if self._needs_refresh:
            self._needs_refresh = False
            stream.request_refresh()
