"""The far end as the sender knows it: the link in use, the greeting on it, and what was counted on all its links."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from protocol.control import ControlCounters
from protocol.identity.key import OwnerKey
from protocol.interfaces import MediaLink, ReceptionReport
from protocol.messages import Hello
from sender.behind_sound import BehindSound
from sender.handshake import Handshake
from sender.packetizer import OutgoingPacket

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlCounts:
    """What passed over the control channel."""

    identity_bytes_sent: int = 0
    malformed: int = 0
    ignored: int = 0

    def plus(self, handshake: Handshake, came: ControlCounters) -> ControlCounts:
        """With what one link's handshake and its control channel counted."""
        return ControlCounts(
            identity_bytes_sent=self.identity_bytes_sent + handshake.identity_bytes_sent,
            malformed=self.malformed + came.malformed,
            ignored=self.ignored + came.ignored + handshake.num_ignored,
        )


class PeerLink:
    """One peer, over one link after another; what a replaced link still delivers is ignored."""

    def __init__(
        self,
        link: MediaLink,
        hello: Hello,
        identity: bytes | None,
        owner_key: OwnerKey | None = None,
        *,
        on_report: Callable[[ReceptionReport], None],
        on_bye: Callable[[str], None],
    ) -> None:
        """Nothing happens before `listen` or `greet`."""
        self._link = link
        self._hello = hello
        self._identity = identity
        self._owner_key = owner_key
        self._on_report = on_report
        self._on_bye = on_bye
        self.behind_sound = BehindSound()
        """Room for the larger parts of the identity; whoever sends sound tells it."""
        self._handshake: Handshake | None = None
        self._retired = ControlCounts()
        self.num_links = 1
        self.num_unsent = 0
        """Packets that a broken link did not take."""
        self.notes: list[str] = []
        """Sentences for the user: what does not fit the far end."""

    def listen(self) -> None:
        """Follow the reports of a peer that is not greeted: a browser."""
        link = self._link

        def on_report(report: ReceptionReport) -> None:
            if link is self._link:
                self._on_report(report)

        link.on_report(on_report)

    async def greet(self, timeout_s: float) -> Hello:
        """Listen, wait for the far end's hello and offer the identity; returns the far end's hello.

        Raises:
            PeerVersionError, PeerSilentError: there is nobody to talk to.
        """
        self.listen()
        self._handshake = Handshake(
            self._link,
            self._hello,
            self._identity,
            self._owner_key,
            on_bye=self._on_bye,
            behind_sound=self.behind_sound,
        )
        theirs = await self._handshake.greet(timeout_s)
        self.notes = self._hello.mismatches(theirs)
        for note in self.notes:
            logger.warning("%s", note)
        return theirs

    def send(self, packet: OutgoingPacket) -> None:
        """Give a packet to the link; between two links it is dropped, as its time passes."""
        try:
            self._link.send_audio(packet.payload, packet.timestamp_ticks, packet.cost)
        except ConnectionError:
            self.num_unsent += 1

    def replace(self, link: MediaLink) -> None:
        """Another link to the same peer, which has not been greeted yet."""
        self.close()
        self._link = link
        self.num_links += 1

    def close(self) -> None:
        """Stop listening; what was counted on the link stays. Safe to call twice."""
        self._retired = self.control
        if self._handshake is not None:
            self._handshake.close()
            self._handshake = None

    @property
    def control(self) -> ControlCounts:
        """Over all links."""
        if self._handshake is None:
            return self._retired
        return self._retired.plus(self._handshake, self._link.control_counters)
