"""The far end's identity on its way to a face: proof, offer, parts, the cache of earlier calls (docs/protocol.md, 4).

Nothing is asked for, looked up or drawn without a proof that the identity's key is the far end's: whoever knows a hash
can neither wear that face nor learn whether we know it.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import ProtocolError
from protocol.identity.proof import proof_fits
from protocol.identity.read import AnyIdentity
from protocol.identity.sectioned import SectionedIdentity
from protocol.identity.transfer import IdentityAssembler
from protocol.interfaces import LinkBinding
from protocol.messages import IdentityData, IdentityOffer, IdentityProof, IdentityRequest
from receiver.errors import ReceiverError
from receiver.identity_store import IdentityStore, identity_for_model, tuned_sections
from talkface_core.interfaces import FaceIdentity, FaceModelInfo

MAX_IDENTITIES = 16
"""Changes of face per call; each costs seconds of preparation."""


@dataclass(frozen=True, slots=True)
class IdentityOutcome:
    """What an offer or a part of an identity leads to."""

    request: IdentityRequest | None = None
    """To be sent."""
    face: FaceIdentity | None = None
    """To be drawn from now on."""
    note: str | None = None
    """A sentence for the user."""
    is_refused: bool = False
    """The default face is to be drawn."""


class IdentityIntake:
    """Asks for identities that are not known, checks and keeps them; a wrong one leaves the face as it is."""

    def __init__(self, info: FaceModelInfo, store: IdentityStore | None) -> None:
        self.name: str | None = None
        """Inside the identity file in use; untrusted text."""
        self.was_cached = False
        self.num_refused_parts = 0
        """That nobody had asked for, or that do not fit."""
        self.num_refused = 0
        self._info = info
        self._store = store
        self._assembler: IdentityAssembler | None = None
        self._hash: str | None = None
        self._proof: IdentityProof | None = None
        """The last one on this link, when it was good."""
        self._owner: bytes | None = None
        """Public key of the face that is drawn: nobody changes it in mid-call."""
        self._num_adopted = 0
        self._is_whole = False
        """All of the identity in use is here."""
        self._drawn: tuple[bytes, ...] = ()
        """The parts of it that the face is drawn with."""

    def expect_new_link(self) -> None:
        """Proofs are of one link."""
        self._proof = None

    def request_missing(self) -> IdentityRequest | None:
        """What of an identity is still missing, when its transfer broke off."""
        return None if self._assembler is None else self._assembler.request()

    def take_proof(self, proof: IdentityProof, binding: LinkBinding | None) -> IdentityOutcome:
        """The far end signs this connection; `binding` is that of the link it came on."""
        if binding is not None and proof_fits(binding, proof):
            self._proof = proof
            return IdentityOutcome()
        self._proof = None
        return self._refuse("the far end's proof that its face is its own does not fit this call")

    def take_offer(self, offer: IdentityOffer) -> IdentityOutcome:
        """The far end names its identity."""
        proof = self._proof
        if proof is None or proof.content_sha256 != offer.content_sha256:
            return self._refuse("the far end offers a face without proof that it is its own")
        if self._owner is not None and proof.public_key != self._owner:
            return self._refuse("the far end comes with another key in mid-call")
        if self._assembler is not None and offer.content_sha256 == self._assembler.offer.content_sha256:
            return IdentityOutcome(request=self._assembler.request())
        if offer.content_sha256 == self._hash and self._is_whole:
            return IdentityOutcome()  # a reconnected peer offers the face that we draw
        if self._num_adopted >= MAX_IDENTITIES:
            self.num_refused += 1
            return IdentityOutcome()
        known = self._store.load(offer.content_sha256) if self._store is not None else None
        if known is not None and known.public_key == proof.public_key:
            self.was_cached = True
            return self._adopt(known)
        self._assembler = IdentityAssembler(offer)
        return IdentityOutcome(request=self._assembler.request())

    def take_part(self, part: IdentityData) -> IdentityOutcome:
        """A part of the file that was asked for; a section that is whole makes or betters the face."""
        if self._assembler is None or self._proof is None:
            self.num_refused_parts += 1
            return IdentityOutcome()
        try:
            identity = self._assembler.add(part)
        except ProtocolError as error:
            self.num_refused_parts += 1
            self._assembler = None
            return IdentityOutcome(note=f"the far end's identity was refused: {error}")
        if identity is None:
            return IdentityOutcome()
        if identity.public_key != self._proof.public_key:
            return self._refuse("the far end offers a face that belongs to another key")
        outcome = self._adopt(identity)
        if outcome.is_refused or not self._is_whole or self._hash != part.content_sha256:
            return outcome
        self._assembler = None
        if self._store is not None:
            try:
                self._store.save(identity)
            except ReceiverError as error:
                return IdentityOutcome(face=outcome.face, note=str(error))
        return outcome

    def _refuse(self, why: str) -> IdentityOutcome:
        """Not this face; and none of theirs that is drawn already: who is there now has not shown to be them."""
        self.num_refused += 1
        self._assembler, self._hash, self._drawn, self.name = None, None, (), None
        return IdentityOutcome(note=f"{why}: the default face is drawn", is_refused=True)

    def _adopt(self, identity: AnyIdentity) -> IdentityOutcome:
        """Draw with what has come of an identity, unless that changes nothing."""
        content_hash = identity.content_hash()
        note = None
        if content_hash != self._hash:
            note = None if self._hash is None else "the far end has changed its face"
            self._num_adopted += 1
            self._drawn = ()
        try:
            face = identity_for_model(identity, self._info)
        except ReceiverError as error:
            self.num_refused += 1
            self._assembler = None
            return IdentityOutcome(note=str(error))
        self._hash, self._owner = content_hash, identity.public_key
        self._is_whole = not isinstance(identity, SectionedIdentity) or identity.is_whole
        self.name = identity.name
        parts = (identity.z, identity.layer_offsets, *tuned_sections(identity))
        if parts == self._drawn:
            return IdentityOutcome()
        self._drawn = parts
        return IdentityOutcome(face=face, note=note)
