"""Proofs of identity, and the words of a connection."""

from __future__ import annotations

from dataclasses import replace

from proofs import HERE, KEY, THERE

from protocol.identity.key import OwnerKey, signature_is_valid
from protocol.identity.proof import connection_words, proof_fits, prove_identity

CONTENT = "c0" * 32


def test_what_is_signed_is_what_the_document_says() -> None:
    signed = b"talkface identity proof 1\0offerer\0" + b"o" * 32 + b"a" * 32 + bytes.fromhex(CONTENT)
    proof = prove_identity(THERE, KEY, CONTENT)
    assert signature_is_valid(KEY.public_key, proof.signature, signed)
    assert proof_fits(HERE, proof)


def test_any_other_connection_role_content_or_key_does_not_fit() -> None:
    proof = prove_identity(THERE, KEY, CONTENT)
    assert not proof_fits(THERE, proof)
    assert not proof_fits(replace(HERE, offerer_sha256=b"a" * 32), proof)
    assert not proof_fits(replace(HERE, answerer_sha256=b"o" * 32), proof)
    assert not proof_fits(HERE, replace(proof, content_sha256="c1" * 32))
    assert not proof_fits(HERE, replace(proof, public_key=OwnerKey.generate().public_key))
    assert not proof_fits(HERE, replace(proof, public_key=b"\xff" * 32))


def test_both_ends_have_the_same_words_and_other_connections_have_others() -> None:
    assert connection_words(HERE) == connection_words(THERE)
    assert len(connection_words(HERE).split()) == 8
    others = {connection_words(replace(HERE, offerer_sha256=bytes([n]) * 32)) for n in range(100)}
    assert len(others) == 100
    assert connection_words(HERE) not in others
