"""The reports of a link: our receiver reports leave, the far end's come in, aiortc's own are thinned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCRtpTransceiver

from protocol.interfaces import Clock, ReceptionReport
from talkface.rtc.adapter.rtcp_hooks import RtcpHooks, hook_rtcp
from talkface.rtc.rtcp import ReceptionStatistics, RtcpThinner, parse_rtcp

logger = logging.getLogger(__name__)

_POLL_S = 0.5
"""How often it is asked whether a report is due."""


class ReportExchange:
    """RTCP of one link.

    Args:
        interval_s: shortest time between two reports of one kind.
        deliver: called with each report about our stream.
    """

    def __init__(self, interval_s: float, clock: Clock, deliver: Callable[[ReceptionReport], None]) -> None:
        self._clock, self._deliver = clock, deliver
        self._thinner = RtcpThinner(interval_s)
        self.statistics = ReceptionStatistics(interval_s)
        """Is told about every packet received."""
        self._hooks = RtcpHooks(self._admit, self._received)

    def attach(self, transceiver: RTCRtpTransceiver) -> None:
        """Stand between aiortc and the wire; call before the connection starts."""
        hook_rtcp(transceiver, self._hooks)

    async def run(self) -> None:
        """Send what is due, from the connection's start to its end."""
        while True:
            await asyncio.sleep(_POLL_S)
            report = self.statistics.receiver_report(self._hooks.own_ssrc, self._clock.now_us())
            if report is not None:
                try:
                    await self._hooks.send(report)
                except ConnectionError:
                    return

    def _admit(self, data: bytes) -> bytes | None:
        return self._thinner.admit(data, self._clock.now_us())

    def _received(self, data: bytes) -> None:
        try:
            contents = parse_rtcp(data)
        except ValueError as error:
            logger.debug("dropped RTCP: %s", error)
            return
        now_us = self._clock.now_us()
        if contents.last_sender_report:
            self.statistics.sender_report_received(contents.last_sender_report, now_us)
        for block in contents.blocks:
            if block.ssrc == self._hooks.own_ssrc:
                self._deliver(self._thinner.reception_report(block, now_us))
