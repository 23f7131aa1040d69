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
import enum
import logging
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)

from protocol.audio_payload import parse_audio_payload
from protocol.control import ControlCounters, ReceivedMessage
from protocol.interfaces import Clock, PacketCost, ReceivedPacket, ReceptionReport
from protocol.messages import Hello, Message
from talkface.rtc import stock
from talkface.rtc.adapter import names
from talkface.rtc.adapter.names import Feature
from talkface.rtc.adapter.router import RawRtp, replace_receiver
from talkface.rtc.adapter.socket_context import SocketContext
from talkface.rtc.adapter.sockets import prepare_sockets
from talkface.rtc.adapter.srtp import choose_srtp_profiles, srtp_tag_bytes
from talkface.rtc.control import ControlChannel
from talkface.rtc.errors import LinkError as LinkError
from talkface.rtc.gate import DatagramGate
from talkface.rtc.options import LinkOptions
from talkface.rtc.reports import ReportExchange
from talkface.rtc.sdp import check_remote_sdp, outgoing_sdp
from talkface.rtc.track import PacketTrack
from talkface.rtc.wire_meter import WireMeter

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LinkState(enum.Enum):
    """Life of a link; never goes back."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class RtcLink:
    """See the module; all methods and callbacks belong to one event loop."""

    def __init__(self, options: LinkOptions, *, meter: WireMeter, clock: Clock, hello: Hello | None = None) -> None:
        """`hello` is what the far end is greeted with; None does not greet."""
        self._options, self._clock, self._meter = options, clock, meter
        self._tap = meter.open_link()
        self._gate = DatagramGate(clock)
        self._missing = names.missing_features()
        self._state = LinkState.NEW
        self._changed = asyncio.Event()
        self._failure = ""
        self._audio: list[Callable[[ReceivedPacket], None]] = []
        self._report: list[Callable[[ReceptionReport], None]] = []
        self._on_state: list[Callable[[LinkState], None]] = []
        self._control = ControlChannel(hello, self._tap, clock, self._lost)
        self._reports = ReportExchange(options.rtcp_interval_s, clock, self._deliver_report)
        self._unregister: Callable[[], None] = lambda: None
        self._tasks: list[asyncio.Task[None]] = []
        self.last_heard_us = clock.now_us()
        """When anything last came from the peer's address (RTP, RTCP, STUN or DTLS)."""
        self.last_audio_us: int | None = None
        """When its last audio packet came; None before the first."""
        self.unsent_audio = 0
        self._track = PacketTrack(self._tap.expect_rtp)
        self._pc = RTCPeerConnection(self._configuration())
        self._pc.on("connectionstatechange", self._connection_changed)
        self._pc.on("datachannel", self._control.extra_channel)

    # --- negotiation ---

    async def create_offer(self) -> str:
        """Gather addresses and return the offer's SDP.

        Raises:
            LinkError: no address could be offered (with `relay_only`: the TURN server gave none).
        """
        self._prepare(self._pc.addTransceiver(self._track))
        self._open_control()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._outgoing()

    async def accept_offer(self, sdp: str) -> str:
        """Take the far end's offer and return the answer's SDP.

        Raises:
            LinkError: the offer is unusable or no address could be offered.
        """
        self._prepare(self._pc.addTransceiver(self._track))
        await self._set_remote(sdp, "offer")
        if self._transceiver.mid is None:
            raise LinkError("the far end's offer is unusable: it has no sound in it")
        if self._pc.sctp is not None:
            self._open_control()
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return self._outgoing()

    async def accept_answer(self, sdp: str) -> None:
        """Take the far end's answer; connecting starts.

        Raises:
            LinkError: the answer is unusable.
        """
        await self._set_remote(sdp, "answer")

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once audio can flow.

        Raises:
            LinkError: not connected after `timeout_s`, or the attempt has failed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._state in (LinkState.NEW, LinkState.CONNECTING):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LinkError(f"no connection to the far end after {timeout_s:.0f} s") from None
        if self._state is LinkState.CLOSED:
            raise LinkError(self._failure or "the connection to the far end has ended")

    @property
    def state(self) -> LinkState:
        """Where the link is in its life."""
        return self._state

    def on_state(self, callback: Callable[[LinkState], None]) -> None:
        """Be told of every change of `state`."""
        self._on_state.append(callback)

    # --- MediaLink ---

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        """Queue one Opus packet; dropped and counted while the link is not connected."""
        if self._state is LinkState.CONNECTED:
            self._track.push(payload, timestamp_ticks, cost)
        else:
            self.unsent_audio += 1

    async def send_control(self, message: Message) -> None:
        """Send one message reliably and in order; waits while more than 1 MiB is in flight.

        Raises:
            LinkError: the link has ended, or the far end offers no control channel.
        """
        await self.wait_connected(60.0)
        await self._control.send(message)

    async def wait_control(self) -> None:
        """Return once control messages can be sent.

        Raises:
            LinkError: the link has ended, or the far end (a plain browser) offers no control channel.
        """
        await self.wait_connected(60.0)
        await self._control.wait_open()

    @property
    def has_control(self) -> bool:
        """True once control messages can flow."""
        return self._control.is_open and self._state is LinkState.CONNECTED

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        """Deliver every audio RTP packet, misordered ones included (SRTP itself drops exact repeats)."""
        self._audio.append(callback)

    @property
    def control_counters(self) -> ControlCounters:
        """What came over the control channel so far."""
        return self._control.counters

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        """Deliver every control message; the first ones also to whoever comes later."""
        self._control.on_message(callback)

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        """Deliver the far end's view of our stream, about every 5 s."""
        self._report.append(callback)

    # --- end ---

    async def say_bye(self, reason: str) -> None:
        """Tell the far end that we hang up and that it need not try to reconnect; nothing when it is gone."""
        await self._control.say_bye(reason)

    async def close(self) -> None:
        """End the connection; the far end is told. Safe to call twice and from any state."""
        self._set_state(LinkState.CLOSED)
        for task in self._tasks:
            task.cancel()
        self._unregister()
        self._track.stop()
        try:
            async with asyncio.timeout(5.0):
                await self._pc.close()
        except TimeoutError:
            logger.warning("the connection did not close within 5 s")

    def stats(self) -> dict[str, Any]:
        """Counters for reports and logs."""
        return {
            "state": self._state.value,
            "unsent_audio": self.unsent_audio,
            "dropped_audio": self._track.dropped,
            "dropped_datagrams": self._gate.dropped,
            "dropped_control": self._control.dropped,
            "srtp_tag_bytes": self._tap.srtp_tag_bytes,
            "stock_parts": sorted(feature.value for feature in self._missing),
        }

    # --- inside ---

    def _configuration(self) -> RTCConfiguration:
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in self._options.ice_servers]
        policy = RTCIceTransportPolicy.RELAY if self._options.relay_only else RTCIceTransportPolicy.ALL
        return RTCConfiguration(servers, policy, RTCBundlePolicy.MAX_BUNDLE)

    def _prepare(self, transceiver: RTCRtpTransceiver) -> None:
        """Everything that has to stand before the connection starts."""
        self._set_state(LinkState.CONNECTING)
        self._transceiver = transceiver
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        transceiver.setCodecPreferences([c for c in capabilities.codecs if c.mimeType.lower() == "audio/opus"])
        if Feature.SOCKETS not in self._missing:
            context = SocketContext(self._tap, self._gate, self._heard, self._options.bind_addresses)
            prepare_sockets(transceiver, context)
        if Feature.SRTP_PROFILES not in self._missing:
            choose_srtp_profiles(transceiver, self._options.srtp_tag_bits)
        if Feature.RTCP not in self._missing:
            self._reports.attach(transceiver)
        if Feature.RTP_ROUTER not in self._missing:
            self._unregister = replace_receiver(transceiver, self._rtp_received, self._lost)
        else:
            self._pc.on("track", self._stock_track)

    def _open_control(self) -> None:
        self._control.create(self._pc, is_guarded=Feature.CONTROL_GUARD not in self._missing)

    def _stock_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.ensure_future(stock.recode_track(track, self._rtp_received)))

    def _outgoing(self) -> str:
        sdp = self._pc.localDescription.sdp
        if "a=candidate:" not in sdp:
            raise LinkError(
                "no network address to offer: "
                + ("the TURN server gave no relayed address" if self._options.relay_only else "none could be bound")
            )
        return outgoing_sdp(sdp, self._options.ask_packet_ms, self._options.ask_bitrate_bps)

    async def _set_remote(self, sdp: str, kind: str) -> None:
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(check_remote_sdp(sdp), kind))
        except Exception as error:  # aiortc's SDP parser raises whatever the text trips over
            raise LinkError(f"the far end's {kind} is unusable: {error or type(error).__name__}") from error

    def _set_state(self, state: LinkState) -> None:
        order = list(LinkState)
        if order.index(state) <= order.index(self._state):
            return
        self._state = state
        self._changed.set()
        if state is LinkState.CLOSED:
            self._control.end()
        for callback in self._on_state:
            callback(state)

    def _connection_changed(self) -> None:
        now = self._pc.connectionState
        if now == "connected" and self._state is LinkState.CONNECTING:
            self._tap.srtp_tag_bytes = srtp_tag_bytes(self._transceiver)
            self._tap.is_set_up = True
            self._meter.start()
            self._heard()
            if Feature.RTCP not in self._missing:
                reporting = self._reports.run()
            else:
                reporting = stock.poll_reports(self._pc, self._deliver_report, self._heard)
            self._tasks.append(asyncio.ensure_future(reporting))
            self._set_state(LinkState.CONNECTED)
        elif now == "failed":
            self._lost("no path to the far end (ICE or DTLS failed)")
        elif now == "closed":
            self._lost()

    def _lost(self, why: str = "the far end has ended the connection") -> None:
        if self._state is not LinkState.CLOSED:
            self._failure = why
            self._set_state(LinkState.CLOSED)

    def _heard(self) -> None:
        self.last_heard_us = self._clock.now_us()

    def _rtp_received(self, packet: RawRtp) -> None:
        key = struct.pack("!HII", packet.sequence_number, packet.timestamp, packet.ssrc)
        content = parse_audio_payload(packet.payload)
        arrival_us = self._tap.rtp_delivered(key, content)
        if arrival_us is None:
            arrival_us = self._clock.now_us()
        self.last_audio_us = arrival_us
        self.last_heard_us = max(self.last_heard_us, arrival_us)
        self._reports.statistics.packet_received(packet.ssrc, packet.sequence_number, packet.timestamp, arrival_us)
        received = ReceivedPacket(packet.sequence_number, packet.timestamp, content, packet.ssrc, arrival_us)
        _tell(self._audio, received)

    def _deliver_report(self, report: ReceptionReport) -> None:
        _tell(self._report, report)


def _tell(callbacks: Sequence[Callable[[T], None]], what: T) -> None:
    """Call them all; whatever hostile bytes trip over in a session must not end aiortc's receive loop."""
    for callback in callbacks:
        try:
            callback(what)
        except Exception:
            logger.exception("a session failed on what the far end sent")
