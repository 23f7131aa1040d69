"""A connection's binding as both ends see it, and proofs of identity on it."""

from __future__ import annotations

from dataclasses import replace

from protocol.identity.key import OwnerKey
from protocol.identity.proof import prove_identity
from protocol.identity.transfer import offer_identity
from protocol.interfaces import LinkBinding
from protocol.messages import IdentityProof

KEY = OwnerKey.from_seed(bytes(32))
"""Of whoever wears the faces of the tests."""
HERE = LinkBinding(offerer_sha256=b"o" * 32, answerer_sha256=b"a" * 32, is_offerer=False)
THERE = replace(HERE, is_offerer=True)


def proof_of(file: bytes, key: OwnerKey = KEY, binding: LinkBinding = THERE) -> IdentityProof:
    """What the far end says before it offers `file`."""
    return prove_identity(binding, key, offer_identity(file).content_sha256)
