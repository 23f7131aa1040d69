"""`RtcLink`: one WebRTC connection as a `protocol.interfaces.MediaLink`.

A stock `RTCPeerConnection` does ICE, DTLS-SRTP and SDP; one audio m-line and one reliable data channel for control
share its transport. `adapter` makes the wire lean where the installed aiortc allows it. A link lives for one
connection: after a loss `call` makes a new one and the sessions move over.

    offerer                      answerer
    create_offer() ──── SDP ───> accept_offer(sdp)
    accept_answer(sdp) <── SDP ── (returned)
    wait_connected()             wait_connected()
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpTransceiver

from protocol.control import ControlCounters, ReceivedMessage
from protocol.interfaces import Clock, LinkBinding, PacketCost, ReceivedPacket, ReceptionReport
from protocol.messages import Hello, Message
from talkface.rtc import stock
from talkface.rtc.adapter import names
from talkface.rtc.adapter.names import Feature
from talkface.rtc.adapter.router import replace_receiver
from talkface.rtc.adapter.socket_context import SocketContext
from talkface.rtc.adapter.sockets import prepare_sockets
from talkface.rtc.adapter.srtp import choose_srtp_profiles, srtp_tag_bytes
from talkface.rtc.control import ControlChannel
from talkface.rtc.errors import LinkError as LinkError
from talkface.rtc.gate import DatagramGate
from talkface.rtc.incoming_audio import IncomingAudio
from talkface.rtc.link_life import LinkLife
from talkface.rtc.link_life import LinkState as LinkState
from talkface.rtc.listeners import Listeners
from talkface.rtc.negotiation import Negotiation
from talkface.rtc.options import LinkOptions
from talkface.rtc.reports import ReportExchange
from talkface.rtc.track import PacketTrack
from talkface.rtc.wire.meter import WireMeter

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
CONTROL_TIMEOUT_S = 60.0
"""How long a control message waits for the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """Counters of one link, for reports and logs."""

    state: LinkState
    unsent_audio: int
    """Packets given to the link while it was not connected."""
    dropped_audio: int
    """Packets that had to give way because the event loop stalled."""
    dropped_datagrams: int
    dropped_control: int
    srtp_tag_bytes: int
    stock_parts: tuple[Feature, ...]
    """What the installed aiortc does its own way."""


class RtcLink:
    """See the module; all methods and callbacks belong to one event loop."""

    def __init__(self, options: LinkOptions, *, meter: WireMeter, clock: Clock, hello: Hello | None = None) -> None:
        """`hello` is what the far end is greeted with; None does not greet."""
        self._options, self._meter = options, meter
        self._missing = names.missing_features()
        self._tap = meter.open_link()
        self._gate = DatagramGate(clock)
        self._life = LinkLife()
        self._life.on_state(self._state_changed)
        self._control = ControlChannel(hello, self._tap, clock, self._life.lose)
        self._on_report: Listeners[ReceptionReport] = Listeners()
        self._reports = ReportExchange(options.rtcp_interval_s, clock, self._on_report.tell)
        self._incoming = IncomingAudio(self._tap, self._reports.statistics, clock)
        self._track = PacketTrack(self._tap.expect_rtp)
        self._unsent_audio = 0
        self._ends = ExitStack()
        """What is to be undone when the link closes."""
        self._negotiation = Negotiation(options, self._track, self._prepare, self._open_control)
        self._negotiation.connection.on("datachannel", self._control.extra_channel)

    # --- negotiation and life ---

    async def create_offer(self) -> str:
        """Gather addresses and return the offer's SDP.

        Raises:
            LinkError: no address could be offered (with `relay_only`: the TURN server gave none).
        """
        return await self._negotiation.create_offer()

    async def accept_offer(self, sdp: str) -> str:
        """Take the far end's offer and return the answer's SDP.

        Raises:
            LinkError: the offer is unusable or no address could be offered.
        """
        return await self._negotiation.accept_offer(sdp)

    async def accept_answer(self, sdp: str) -> None:
        """Take the far end's answer; connecting starts.

        Raises:
            LinkError: the answer is unusable.
        """
        await self._negotiation.accept_answer(sdp)

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once audio can flow.

        Raises:
            LinkError: not connected after `timeout_s`, or the attempt has failed.
        """
        await self._life.wait_connected(timeout_s)

    @property
    def state(self) -> LinkState:
        """Where the link is in its life."""
        return self._life.state

    def on_state(self, callback: Callable[[LinkState], None]) -> None:
        """Be told of every change of `state`."""
        self._life.on_state(callback)

    @property
    def last_heard_us(self) -> int:
        """When anything last came from the peer's address (RTP, RTCP, STUN or DTLS)."""
        return self._incoming.last_heard_us

    @property
    def last_audio_us(self) -> int | None:
        """When its last audio packet came; None before the first."""
        return self._incoming.last_audio_us

    @property
    def last_refused_us(self) -> int | None:
        """When the peer's machine last said that nobody listens at its port; None: never."""
        return self._incoming.last_refused_us

    # --- MediaLink ---

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        """Queue one Opus packet; dropped and counted while the link is not connected."""
        if self.state is LinkState.CONNECTED:
            self._track.push(payload, timestamp_ticks, cost)
        else:
            self._unsent_audio += 1

    async def wait_control(self) -> None:
        """Return once control messages can be sent.

        Raises:
            LinkError: the link has ended, or the far end (a plain browser) offers no control channel.
        """
        await self.wait_connected(CONTROL_TIMEOUT_S)
        await self._control.wait_open()

    async def send_control(self, message: Message) -> None:
        """Send one message reliably and in order; waits while more than 1 MiB is in flight.

        Raises:
            LinkError: the link has ended, or the far end offers no control channel.
        """
        await self.wait_connected(CONTROL_TIMEOUT_S)
        await self._control.send(message)

    @property
    def has_control(self) -> bool:
        """True once control messages can flow."""
        return self._control.is_open and self.state is LinkState.CONNECTED

    @property
    def control_counters(self) -> ControlCounters:
        """What came over the control channel so far."""
        return self._control.counters

    @property
    def binding(self) -> LinkBinding | None:
        """What proofs of identity are bound to; None for a far end that names several certificates."""
        return self._negotiation.binding

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        """Deliver every audio RTP packet, misordered ones included (SRTP itself drops exact repeats)."""
        self._incoming.listeners.add(callback)

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        """Deliver every control message; the first ones also to whoever comes later."""
        self._control.on_message(callback)

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        """Deliver the far end's view of our stream, about every 5 s."""
        self._on_report.add(callback)

    # --- end ---

    async def say_bye(self, reason: str) -> None:
        """Tell the far end that we hang up and that it need not try to reconnect; nothing when it is gone."""
        await self._control.say_bye(reason)

    async def close(self) -> None:
        """End the connection; the far end is told. Safe to call twice and from any state."""
        self._life.enter(LinkState.CLOSED)
        self._ends.close()
        self._track.stop()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._negotiation.connection.close()
        except TimeoutError:
            logger.warning("the connection did not close within %.0f s", CLOSE_TIMEOUT_S)

    def stats(self) -> LinkStats:
        """What was counted so far."""
        return LinkStats(
            state=self.state,
            unsent_audio=self._unsent_audio,
            dropped_audio=self._track.dropped,
            dropped_datagrams=self._gate.dropped,
            dropped_control=self._control.dropped,
            srtp_tag_bytes=self._tap.srtp_tag_bytes,
            stock_parts=tuple(sorted(self._missing, key=lambda feature: feature.value)),
        )

    # --- inside ---

    def _prepare(self, transceiver: RTCRtpTransceiver) -> None:
        """Everything that has to stand before the connection starts."""
        self._life.enter(LinkState.CONNECTING)
        connection, incoming = self._negotiation.connection, self._incoming
        if Feature.SOCKETS not in self._missing:
            context = SocketContext(
                self._tap, self._gate, incoming.heard, incoming.refused, self._options.bind_addresses
            )
            prepare_sockets(transceiver, context)
        if Feature.SRTP_PROFILES not in self._missing:
            choose_srtp_profiles(transceiver, self._options.srtp_tag_bits)
        if Feature.RTCP not in self._missing:
            self._reports.attach(transceiver)
        if Feature.RTP_ROUTER not in self._missing:
            self._ends.callback(replace_receiver(transceiver, incoming.received, self._life.lose, self._gate.prove))
        else:
            connection.on("track", self._recode)
        connection.on("connectionstatechange", lambda: self._connection_changed(connection, transceiver))

    def _open_control(self, connection: RTCPeerConnection) -> None:
        self._control.create(connection, is_guarded=Feature.CONTROL_GUARD not in self._missing)

    def _recode(self, track: MediaStreamTrack) -> None:
        task = asyncio.ensure_future(stock.recode_track(track, self._incoming.received))
        self._ends.callback(task.cancel)

    def _connection_changed(self, connection: RTCPeerConnection, transceiver: RTCRtpTransceiver) -> None:
        if connection.connectionState == "connected" and self.state is LinkState.CONNECTING:
            self._tap.srtp_tag_bytes = srtp_tag_bytes(transceiver)
            self._tap.is_set_up = True
            self._meter.start()
            self._incoming.heard()
            if Feature.RTCP not in self._missing:
                reporting = self._reports.run()
            else:
                reporting = stock.poll_reports(connection, self._on_report.tell, self._incoming.heard)
            self._ends.callback(asyncio.ensure_future(reporting).cancel)
            self._life.enter(LinkState.CONNECTED)
        elif connection.connectionState == "failed":
            self._life.lose("no path to the far end (ICE or DTLS failed)")
        elif connection.connectionState == "closed":
            self._life.lose()

    def _state_changed(self, state: LinkState) -> None:
        if state is LinkState.CLOSED:
            self._control.end()
