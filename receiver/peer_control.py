"""The receiving side of the control channel, without a network: messages in, messages out (docs/protocol.md section 4).

Nothing that a peer sends here can end the call except a hello of another version and a bye: garbage is dropped and
counted, floods are cut off, a wrong identity leaves the face as it is. A peer without a control channel (a browser)
never comes here at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.errors import ProtocolError, UnsupportedVersionError
from protocol.identity.file import IdentityFile
from protocol.identity.transfer import IdentityAssembler
from protocol.messages import Bye, Hello, IdentityData, IdentityOffer, Message, decode_message
from receiver.errors import ReceiverError
from receiver.identity_store import IdentityStore, identity_for_model
from talkface_core.interfaces import FaceIdentity, FaceModelInfo

MAX_MESSAGES_BURST = 256
MAX_MESSAGES_PER_S = 64
"""A call needs a hello, an offer, a few chunks and a bye."""
MAX_IDENTITIES = 16
"""Changes of face per call; each costs seconds of preparation."""


@dataclass(slots=True)
class ControlCounters:
    received: int = 0
    malformed: int = 0
    flooded: int = 0
    """Dropped because too many came."""
    refused_identities: int = 0


@dataclass(slots=True)
class ControlOutcome:
    """What one message leads to."""

    replies: list[Message] = field(default_factory=list)
    identity: FaceIdentity | None = None
    """The face to draw from now on."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the user."""
    failure: str | None = None
    """Why the call cannot go on."""
    bye: Bye | None = None
    """The far end hung up."""


class PeerControl:
    """State of the far end: what it is, which face it has. Time is an argument."""

    def __init__(self, info: FaceModelInfo, store: IdentityStore | None, *, agent: str = "talkface") -> None:
        self.counters = ControlCounters()
        self.peer_hello: Hello | None = None
        self.style_is_usable = True
        self.identity_name: str | None = None
        """Name inside the peer's identity file; untrusted text."""
        self.identity_was_cached = False
        self.hello = Hello(
            weights_sha256=info.weights_sha256,
            resolution_px=info.resolution_px,
            frame_rate=info.frame_rate,
            style_table_id=info.style_table_id,
            agent=agent,
        )
        self._info = info
        self._store = store
        self._assembler: IdentityAssembler | None = None
        self._identity_hash: str | None = None
        self._num_identities = 0
        self._allowance = float(MAX_MESSAGES_BURST)
        self._allowance_us: int | None = None

    def link_replaced(self, *, is_greeting: bool) -> list[Message]:
        """What to say first on a connection: who we are, and what of an identity is still missing."""
        messages: list[Message] = [self.hello] if is_greeting else []
        if self._assembler is not None:
            messages.append(self._assembler.request())
        return messages

    def handle(self, data: bytes, now_us: int) -> ControlOutcome:
        """Take one message of the far end."""
        if not self._is_allowed(now_us):
            self.counters.flooded += 1
            return ControlOutcome()
        self.counters.received += 1
        try:
            message = decode_message(data)
        except UnsupportedVersionError as error:
            return ControlOutcome(failure=str(error))
        except ProtocolError:
            self.counters.malformed += 1
            return ControlOutcome()
        if isinstance(message, Hello):
            return self._take_hello(message)
        if isinstance(message, IdentityOffer):
            return self._take_offer(message)
        if isinstance(message, IdentityData):
            return self._take_chunk(message)
        if isinstance(message, Bye):
            return ControlOutcome(bye=message)
        return ControlOutcome()  # a request is for the sending half of this side; statistics are not used

    def _is_allowed(self, now_us: int) -> bool:
        if self._allowance_us is not None:
            earned = (now_us - self._allowance_us) * MAX_MESSAGES_PER_S / 1_000_000
            self._allowance = min(float(MAX_MESSAGES_BURST), self._allowance + earned)
        self._allowance_us = now_us
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _take_hello(self, hello: Hello) -> ControlOutcome:
        is_first = self.peer_hello is None
        self.peer_hello = hello
        # Style values of other weights are other movements, even where the tables happen to agree.
        has_same_weights = hello.weights_sha256 == self._info.weights_sha256
        self.style_is_usable = has_same_weights and hello.style_table_id == self._info.style_table_id
        return ControlOutcome(notes=self.hello.mismatches(hello) if is_first else [])

    def _take_offer(self, offer: IdentityOffer) -> ControlOutcome:
        if offer.content_sha256 == self._identity_hash:
            return ControlOutcome()  # a reconnected peer offers the face that we draw
        if self._assembler is not None and offer.content_sha256 == self._assembler.offer.content_sha256:
            return ControlOutcome(replies=[self._assembler.request()])
        if self.peer_hello is not None and self.peer_hello.weights_sha256 != self._info.weights_sha256:
            return ControlOutcome()  # the hello said so already: the default face is drawn
        if self._num_identities >= MAX_IDENTITIES:
            self.counters.refused_identities += 1
            return ControlOutcome()
        known = self._store.load(offer.content_sha256) if self._store is not None else None
        if known is not None:
            self.identity_was_cached = True
            return self._adopt(known)
        self._assembler = IdentityAssembler(offer)
        return ControlOutcome(replies=[self._assembler.request()])

    def _take_chunk(self, chunk: IdentityData) -> ControlOutcome:
        if self._assembler is None:
            self.counters.malformed += 1
            return ControlOutcome()
        try:
            identity = self._assembler.add(chunk)
        except ProtocolError as error:
            self.counters.malformed += 1
            self._assembler = None
            return ControlOutcome(notes=[f"the far end's identity was refused: {error}"])
        if identity is None:
            return ControlOutcome()
        self._assembler = None
        outcome = self._adopt(identity)
        if outcome.identity is not None and self._store is not None:
            try:
                self._store.save(identity)
            except ReceiverError as error:
                outcome.notes.append(str(error))
        return outcome

    def _adopt(self, identity: IdentityFile) -> ControlOutcome:
        self._num_identities += 1
        try:
            face = identity_for_model(identity, self._info)
        except ReceiverError as error:
            self.counters.refused_identities += 1
            return ControlOutcome(notes=[str(error)])
        self._identity_hash = identity.content_hash()
        self.identity_name = identity.name
        return ControlOutcome(identity=face)
