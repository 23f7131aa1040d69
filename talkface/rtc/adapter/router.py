"""Our receiver on aiortc's RTP router, in place of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCRtpTransceiver


@dataclass(frozen=True, slots=True)
class RawRtp:
    """One decrypted RTP packet."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


class _RouterReceiver:
    """aiortc.rtcdtlstransport.RtpReceiver: hands packets of the negotiated payload types over."""

    def __init__(self, deliver: Callable[[RawRtp], None], lost: Callable[[], None]) -> None:
        self._deliver, self._lost = deliver, lost
        self.payload_types: frozenset[int] = frozenset()

    def _handle_disconnect(self) -> None:
        self._lost()

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        """RTCP comes through `rtcp_hooks`."""

    async def _handle_rtp_packet(self, packet: Any, arrival_time_ms: int) -> None:
        if packet.payload_type in self.payload_types:
            self._deliver(
                RawRtp(packet.payload_type, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload)
            )


def replace_receiver(
    transceiver: RTCRtpTransceiver,
    deliver: Callable[[RawRtp], None],
    lost: Callable[[], None],
    proven: Callable[[int], None],
) -> Callable[[], None]:
    """Register our receiver where aiortc would have started its own.

    `proven` is told the SSRC of every RTP packet that has passed SRTP, those that nobody plays included.

    `receive` is shadowed before the connection starts: aiortc then hands over the negotiated parameters itself, and its
    decoder thread and RTCP task never start. Doing it at "connected" instead loses a race.

    Returns:
        A function that takes the receiver off the router again; call it when the connection closes.
    """
    dtls = transceiver.receiver.transport
    ours = _RouterReceiver(deliver, lost)
    original = dtls._handle_rtp_data

    async def handle_rtp_data(data: bytes, arrival_time_ms: int) -> None:
        proven(int.from_bytes(data[8:12], "big"))
        await original(data, arrival_time_ms)

    dtls._handle_rtp_data = handle_rtp_data  # type: ignore[method-assign]

    async def receive(parameters: Any) -> None:
        if not ours.payload_types:
            ours.payload_types = frozenset(codec.payloadType for codec in parameters.codecs)
            dtls._register_rtp_receiver(ours, parameters)

    transceiver.receiver.receive = receive  # type: ignore[method-assign]
    return lambda: dtls._unregister_rtp_receiver(ours)
