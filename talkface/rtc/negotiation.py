"""Offer and answer over one `RTCPeerConnection` (RFC 8829): one audio line, one line for data channels."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)

from protocol.interfaces import LinkBinding
from talkface.rtc.errors import LinkError
from talkface.rtc.options import LinkOptions
from talkface.rtc.sdp import certificate_sha256, check_remote_sdp, outgoing_sdp
from talkface.rtc.track import PacketTrack


class Negotiation:
    """Makes the connection that is described, and the descriptions.

    Args:
        track: what we send.
        prepare: given the transceiver, before the connection can start.
        open_control: given the connection, when it is to have data channels.
    """

    def __init__(
        self,
        options: LinkOptions,
        track: PacketTrack,
        prepare: Callable[[RTCRtpTransceiver], None],
        open_control: Callable[[RTCPeerConnection], None],
    ) -> None:
        self._options, self._track = options, track
        self._prepare, self._open_control = prepare, open_control
        self.connection = RTCPeerConnection(_configuration(options))
        self._ours: bytes | None = None
        self._theirs: bytes | None = None
        self._is_offerer = False

    @property
    def binding(self) -> LinkBinding | None:
        """The certificates of both ends; None until both descriptions are there, or when theirs names several."""
        if self._ours is None or self._theirs is None:
            return None
        offerer, answerer = (self._ours, self._theirs) if self._is_offerer else (self._theirs, self._ours)
        return LinkBinding(offerer_sha256=offerer, answerer_sha256=answerer, is_offerer=self._is_offerer)

    async def create_offer(self) -> str:
        """Gather addresses and return the offer's SDP.

        Raises:
            LinkError: no address could be offered (with `relay_only`: the TURN server gave none).
        """
        self._is_offerer = True
        self._add_audio()
        self._open_control(self.connection)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self._outgoing()

    async def accept_offer(self, sdp: str) -> str:
        """Take the far end's offer and return the answer's SDP.

        Raises:
            LinkError: the offer is unusable or no address could be offered.
        """
        transceiver = self._add_audio()
        await self._set_remote(sdp, "offer")
        if transceiver.mid is None:
            raise LinkError("the far end's offer is unusable: it has no sound in it")
        if self.connection.sctp is not None:
            self._open_control(self.connection)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self._outgoing()

    async def accept_answer(self, sdp: str) -> None:
        """Take the far end's answer; connecting starts.

        Raises:
            LinkError: the answer is unusable.
        """
        await self._set_remote(sdp, "answer")

    def _add_audio(self) -> RTCRtpTransceiver:
        transceiver = self.connection.addTransceiver(self._track)
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        transceiver.setCodecPreferences([c for c in capabilities.codecs if c.mimeType.lower() == "audio/opus"])
        self._prepare(transceiver)
        return transceiver

    def _outgoing(self) -> str:
        sdp = self.connection.localDescription.sdp
        if "a=candidate:" not in sdp:
            raise LinkError(
                "no network address to offer: "
                + ("the TURN server gave no relayed address" if self._options.relay_only else "none could be bound")
            )
        described = outgoing_sdp(sdp, self._options.ask_packet_ms, self._options.ask_bitrate_bps)
        self._ours = certificate_sha256(described)
        return described

    async def _set_remote(self, sdp: str, kind: str) -> None:
        try:
            described = check_remote_sdp(sdp)
            await self.connection.setRemoteDescription(RTCSessionDescription(described, kind))
        except Exception as error:  # aiortc's SDP parser raises whatever the text trips over
            raise LinkError(f"the far end's {kind} is unusable: {error or type(error).__name__}") from error
        self._theirs = certificate_sha256(described)


def _configuration(options: LinkOptions) -> RTCConfiguration:
    servers = [RTCIceServer(s.url, s.username, s.credential) for s in options.ice_servers]
    policy = RTCIceTransportPolicy.RELAY if options.relay_only else RTCIceTransportPolicy.ALL
    return RTCConfiguration(servers, policy, RTCBundlePolicy.MAX_BUNDLE)
