"""The receiving side of the control channel, without a network: messages in, messages out (docs/protocol.md section 4).

Nothing that a peer sends here can end the call except a hello of another version and a bye: a wrong identity leaves
the face as it is. Garbage and floods end at the link (`protocol.control`); a peer without a control channel (a
browser) never comes here at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.control import ControlCounters, OtherVersion, ReceivedMessage
from protocol.errors import ProtocolError
from protocol.identity.file import IdentityFile
from protocol.identity.transfer import IdentityAssembler
from protocol.messages import Bye, Hello, IdentityData, IdentityOffer, Message
from receiver.errors import ReceiverError
from receiver.identity_store import IdentityStore, identity_for_model
from talkface_core.interfaces import FaceIdentity, FaceModelInfo

MAX_IDENTITIES = 16
"""Changes of face per call; each costs seconds of preparation."""


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
    """State of the far end: what it is, which face it has."""

    def __init__(self, info: FaceModelInfo, store: IdentityStore | None) -> None:
        self.num_refused_chunks = 0
        """Parts of an identity that nobody had asked for, or that do not fit."""
        self.num_refused_identities = 0
        self.counted_before = ControlCounters()
        """What came over links that were replaced."""
        self.peer_hello: Hello | None = None
        self.style_is_usable = True
        self.identity_name: str | None = None
        """Name inside the peer's identity file; untrusted text."""
        self.identity_was_cached = False
        self.hello = Hello.of(info)
        self._info = info
        self._store = store
        self._assembler: IdentityAssembler | None = None
        self._identity_hash: str | None = None
        self._num_identities = 0

    def on_new_link(self) -> list[Message]:
        """What to say first on a connection: what of an identity is still missing."""
        return [] if self._assembler is None else [self._assembler.request()]

    def handle(self, message: ReceivedMessage) -> ControlOutcome:
        """Take one message of the far end; requests for an identity are for the sending side of this end."""
        if isinstance(message, OtherVersion):
            return ControlOutcome(failure=message.sentence)
        if isinstance(message, Hello):
            return self._take_hello(message)
        if isinstance(message, IdentityOffer):
            return self._take_offer(message)
        if isinstance(message, IdentityData):
            return self._take_chunk(message)
        if isinstance(message, Bye):
            return ControlOutcome(bye=message)
        return ControlOutcome()  # a request is for the sending half of this side; statistics are not used

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
            self.num_refused_identities += 1
            return ControlOutcome()
        known = self._store.load(offer.content_sha256) if self._store is not None else None
        if known is not None:
            self.identity_was_cached = True
            return self._adopt(known)
        self._assembler = IdentityAssembler(offer)
        return ControlOutcome(replies=[self._assembler.request()])

    def _take_chunk(self, chunk: IdentityData) -> ControlOutcome:
        if self._assembler is None:
            self.num_refused_chunks += 1
            return ControlOutcome()
        try:
            identity = self._assembler.add(chunk)
        except ProtocolError as error:
            self.num_refused_chunks += 1
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
            self.num_refused_identities += 1
            return ControlOutcome(notes=[str(error)])
        self._identity_hash = identity.content_hash()
        self.identity_name = identity.name
        return ControlOutcome(identity=face)
