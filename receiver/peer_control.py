"""The receiving side of the control channel, without a network: messages in, messages out (docs/protocol.md section 4).

Nothing that a peer sends here can end the call except a hello of another version and a bye: a wrong identity leaves
the face as it is. Garbage and floods end at the link (`protocol.control`); a peer without a control channel (a
browser) never comes here at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.control import OtherVersion, ReceivedMessage
from protocol.interfaces import LinkBinding
from protocol.messages import Bye, Hello, IdentityData, IdentityOffer, IdentityProof, IdentityRequest
from receiver.identity_intake import IdentityIntake, IdentityOutcome
from receiver.identity_store import IdentityStore
from talkface_core.interfaces import FaceIdentity, FaceModelInfo


@dataclass(frozen=True, slots=True)
class ControlOutcome:
    """What one message leads to."""

    request: IdentityRequest | None = None
    """To be sent."""
    face: FaceIdentity | None = None
    """To be drawn from now on."""
    draws_default: bool = False
    """The far end's own face is not to be drawn."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""
    failure: str | None = None
    """Why the call cannot go on."""
    bye: Bye | None = None
    """The far end hung up."""


class PeerControl:
    """State of the far end: what it is, which face it has."""

    def __init__(self, info: FaceModelInfo, store: IdentityStore | None) -> None:
        self.hello = Hello.of(info)
        self.peer_hello: Hello | None = None
        self.style_is_usable = True
        self.identity = IdentityIntake(info, store)

    def handle(self, message: ReceivedMessage, binding: LinkBinding | None = None) -> ControlOutcome:
        """Take one message of the far end; `binding` is that of the link it came on."""
        if isinstance(message, OtherVersion):
            return ControlOutcome(failure=message.sentence)
        if isinstance(message, Hello):
            return self._take_hello(message)
        if isinstance(message, IdentityProof):
            return _outcome_of(self.identity.take_proof(message, binding))
        if isinstance(message, IdentityOffer):
            if self.peer_hello is not None and self.peer_hello.weights_sha256 != self.hello.weights_sha256:
                return ControlOutcome()  # the hello said so already: the default face is drawn
            return _outcome_of(self.identity.take_offer(message))
        if isinstance(message, IdentityData):
            return _outcome_of(self.identity.take_part(message))
        if isinstance(message, Bye):
            return ControlOutcome(bye=message)
        return ControlOutcome()  # a request is for the sending half of this side; statistics are not used

    def _take_hello(self, hello: Hello) -> ControlOutcome:
        is_first = self.peer_hello is None
        self.peer_hello = hello
        # Style values of other weights are other movements, even where the tables happen to agree.
        has_same_weights = hello.weights_sha256 == self.hello.weights_sha256
        self.style_is_usable = has_same_weights and hello.style_table_id == self.hello.style_table_id
        return ControlOutcome(notes=tuple(self.hello.mismatches(hello)) if is_first else ())


def _outcome_of(identity: IdentityOutcome) -> ControlOutcome:
    notes = () if identity.note is None else (identity.note,)
    return ControlOutcome(request=identity.request, face=identity.face, draws_default=identity.is_refused, notes=notes)
