"""That a face is its wearer's: a signature over the connection that it is worn on (docs/protocol.md section 4).

The DTLS certificates of both ends are made anew for each meeting, so that their fingerprints name one connection: a
proof that was seen in another call, or that somebody between two calls passes on, does not fit this one.
"""

from __future__ import annotations

import hashlib

from protocol.identity.key import OwnerKey, signature_is_valid
from protocol.identity.words import FINGERPRINT_WORDS, words_of
from protocol.interfaces import LinkBinding
from protocol.messages import IdentityProof
from protocol.wire_fields import digest_bytes

_PROOF_CONTEXT = b"talkface identity proof 1\0"
_WORDS_CONTEXT = b"talkface call words 1\0"


def prove_identity(binding: LinkBinding, key: OwnerKey, content_sha256: str) -> IdentityProof:
    """Our proof that an identity of this content is ours; `key` is the one that signed it."""
    signed = _signed(binding, content_sha256, by_offerer=binding.is_offerer)
    return IdentityProof(content_sha256=content_sha256, public_key=key.public_key, signature=key.sign(signed))


def proof_fits(binding: LinkBinding, proof: IdentityProof) -> bool:
    """Whether the far end has signed this connection with the key that it names."""
    signed = _signed(binding, proof.content_sha256, by_offerer=not binding.is_offerer)
    return signature_is_valid(proof.public_key, proof.signature, signed)


def connection_words(binding: LinkBinding) -> str:
    """The connection in eight words, the same at both ends: who stands between them has two connections.

    88 bits, because that somebody may choose a certificate for each of the two.
    """
    digest = hashlib.sha256(_WORDS_CONTEXT + binding.offerer_sha256 + binding.answerer_sha256).digest()
    return " ".join(words_of(digest, FINGERPRINT_WORDS))


def _signed(binding: LinkBinding, content_sha256: str, *, by_offerer: bool) -> bytes:
    role = b"offerer\0" if by_offerer else b"answerer\0"
    content = digest_bytes("identity proof content_sha256", content_sha256)
    return _PROOF_CONTEXT + role + binding.offerer_sha256 + binding.answerer_sha256 + content
