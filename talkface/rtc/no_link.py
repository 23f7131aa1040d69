"""A link to nobody: what a receiving session is prepared with before the far end is met."""

from __future__ import annotations

from collections.abc import Callable

from protocol.control import ControlCounters, ReceivedMessage
from protocol.interfaces import LinkBinding, PacketCost, ReceivedPacket, ReceptionReport
from protocol.messages import Message


class NoLink:
    """`protocol.interfaces.MediaLink` on which nothing ever comes and nothing can be sent."""

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        """Drop it."""

    async def wait_control(self) -> None:
        """Raises ConnectionError: there is nobody yet."""
        raise ConnectionError("the far end has not been met yet")

    async def send_control(self, message: Message) -> None:
        """Raises ConnectionError: there is nobody yet."""
        raise ConnectionError("the far end has not been met yet")

    @property
    def control_counters(self) -> ControlCounters:
        """Nothing has come."""
        return ControlCounters()

    @property
    def binding(self) -> LinkBinding | None:
        """There is nobody to prove anything to."""
        return None

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        """Nothing will come."""

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        """Nothing will come."""

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        """Nothing will come."""
