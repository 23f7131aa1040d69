"""Only its owner wears a face: proofs, and who has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from proofs import HERE, KEY, THERE, proof_of

from protocol.identity.file import IdentityFile, sign_identity
from protocol.identity.key import OwnerKey
from protocol.identity.transfer import identity_chunks, offer_identity
from receiver.identity_intake import IdentityIntake, IdentityOutcome
from receiver.identity_store import IdentityStore

THIEF = OwnerKey.from_seed(b"t" * 32)


@pytest.fixture
def intake(kit: ModuleType, tmp_path: Path) -> IdentityIntake:
    return IdentityIntake(kit.ChartModel().info, IdentityStore(tmp_path))


def give(intake: IdentityIntake, file: bytes) -> IdentityOutcome:
    """Offer a file and send what is asked for; the last outcome."""
    outcome = intake.take_offer(offer_identity(file))
    if outcome.request is not None:
        for part in identity_chunks(file, outcome.request):
            outcome = intake.take_part(part)
    return outcome


def signed_anew(identity: IdentityFile, key: OwnerKey) -> bytes:
    return sign_identity(
        key,
        name=identity.name,
        weights_sha256=identity.weights_sha256,
        latent_dim=identity.latent_dim,
        number_format=identity.number_format,
        z=identity.z,
    ).to_bytes()


def assert_refused(outcome: IdentityOutcome, why: str) -> None:
    assert outcome.is_refused
    assert outcome.face is None
    assert outcome.request is None
    assert outcome.note == f"{why}: the default face is drawn"


NO_PROOF = "the far end offers a face without proof that it is its own"
NOT_THIS_CALL = "the far end's proof that its face is its own does not fit this call"
OTHERS_FACE = "the far end offers a face that belongs to another key"
SECOND_KEY = "the far end comes with another key in mid-call"


def test_a_face_without_a_proof_is_not_drawn(kit: ModuleType, intake: IdentityIntake) -> None:
    assert_refused(give(intake, kit.make_identity().to_bytes()), NO_PROOF)


def test_a_stolen_hash_is_not_worn_and_tells_nothing(kit: ModuleType, intake: IdentityIntake, tmp_path: Path) -> None:
    file = kit.make_identity().to_bytes()
    intake.take_proof(proof_of(file), HERE)
    assert give(intake, file).face is not None
    # Another call: the face is in the cache. Who only knows its hash gets the answer of one who never called.
    stranger = kit.make_identity(3.0).to_bytes()
    answers = []
    for wanted in (file, stranger):
        later = IdentityIntake(kit.ChartModel().info, IdentityStore(tmp_path))
        assert_refused(later.take_offer(offer_identity(wanted)), NO_PROOF)
        later.take_proof(proof_of(wanted, THIEF), HERE)
        outcome = later.take_offer(offer_identity(wanted))
        assert outcome.face is None
        assert outcome.request is not None
        answers.append(replace(outcome.request, content_sha256="00" * 32))
        # With the file as well: it is its owner's.
        for part in identity_chunks(wanted, outcome.request):
            outcome = later.take_part(part)
        assert_refused(outcome, OTHERS_FACE)
    assert answers[0] == answers[1]


def test_a_copy_signed_anew_is_a_face_of_another_key(kit: ModuleType, intake: IdentityIntake) -> None:
    """It is drawn where nobody knows the owner; the key is the thief's, and says so to who compares."""
    original = kit.make_identity()
    copy = signed_anew(original, THIEF)
    intake.take_proof(proof_of(copy, KEY), HERE)
    assert_refused(give(intake, copy), OTHERS_FACE)
    intake.take_proof(proof_of(original.to_bytes()), HERE)
    assert give(intake, original.to_bytes()).face is not None
    intake.take_proof(proof_of(copy, THIEF), HERE)
    assert_refused(give(intake, copy), SECOND_KEY)


def test_a_second_face_of_the_same_key_is_said_and_drawn(kit: ModuleType, intake: IdentityIntake) -> None:
    for level, note in ((1.0, None), (2.0, "the far end has changed its face")):
        file = kit.make_identity(level).to_bytes()
        intake.take_proof(proof_of(file), HERE)
        outcome = give(intake, file)
        assert outcome.face is not None
        assert outcome.face.z[0] == level
        assert outcome.note == note


def test_a_proof_of_another_call_of_the_other_role_or_of_ourselves_does_not_fit(
    kit: ModuleType, intake: IdentityIntake
) -> None:
    file = kit.make_identity().to_bytes()
    for binding in (
        replace(THERE, offerer_sha256=b"x" * 32),
        replace(THERE, answerer_sha256=b"x" * 32),
        HERE,  # our own, sent back
    ):
        assert_refused(intake.take_proof(proof_of(file, binding=binding), HERE), NOT_THIS_CALL)
        assert_refused(give(intake, file), NO_PROOF)
    assert_refused(intake.take_proof(proof_of(file), None), NOT_THIS_CALL)
    assert_refused(intake.take_proof(replace(proof_of(file), content_sha256="00" * 32), HERE), NOT_THIS_CALL)


def test_a_face_is_taken_off_when_a_new_link_brings_another_key(kit: ModuleType, intake: IdentityIntake) -> None:
    file = kit.make_identity().to_bytes()
    intake.take_proof(proof_of(file), HERE)
    assert give(intake, file).face is not None
    intake.expect_new_link()
    assert_refused(intake.take_offer(offer_identity(file)), NO_PROOF)
    intake.take_proof(proof_of(file, THIEF), HERE)
    assert_refused(intake.take_offer(offer_identity(file)), SECOND_KEY)
    intake.take_proof(proof_of(file), HERE)
    assert intake.take_offer(offer_identity(file)).face is not None, "its owner is back"
