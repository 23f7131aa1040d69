"""The control channel seen from the receiver: offers, caches, refusals, other versions."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from proofs import HERE, KEY, proof_of

from protocol.control import ControlReader, OtherVersion
from protocol.identity.read import content_name
from protocol.identity.sectioned import SectionedIdentity, sign_sections
from protocol.identity.transfer import identity_chunks, offer_identity
from protocol.messages import (
    Bye,
    Hello,
    IdentityData,
    Stats,
    encode_message,
)
from receiver.identity_intake import MAX_IDENTITIES
from receiver.identity_store import IdentityStore
from receiver.peer_control import ControlOutcome, PeerControl
from talkface_core.interfaces import FaceModelInfo


@pytest.fixture
def control(kit: ModuleType, tmp_path: Path) -> PeerControl:
    return PeerControl(kit.ChartModel().info, IdentityStore(tmp_path))


def hello(control: PeerControl, **changes: Any) -> Hello:
    return replace(control.hello, **changes)


def offer(control: PeerControl, file: bytes) -> ControlOutcome:
    """The far end proves that a face is its own, and offers it."""
    assert control.handle(proof_of(file), HERE) == ControlOutcome()
    return control.handle(offer_identity(file))


def transfer(control: PeerControl, file: bytes) -> Any:
    """Offer a file and answer the request; returns the last outcome."""
    outcome = offer(control, file)
    if outcome.request is not None:
        for chunk in identity_chunks(file, outcome.request):
            outcome = control.handle(chunk)
    return outcome


def test_identity_is_asked_for_once_and_cached(kit: ModuleType, control: PeerControl, tmp_path: Path) -> None:
    identity = kit.make_identity(111.0)
    outcome = transfer(control, identity.to_bytes())
    assert outcome.face is not None
    assert outcome.face.z[0] == 111.0
    assert control.identity.name == "somebody"
    again = offer(control, identity.to_bytes())
    assert again == ControlOutcome()
    later = PeerControl(kit.ChartModel().info, IdentityStore(tmp_path))
    cached = offer(later, identity.to_bytes())
    assert cached.request is None
    assert cached.face is not None
    assert later.identity.was_cached


def test_broken_transfer_resumes_on_the_next_link(kit: ModuleType, control: PeerControl) -> None:
    file = kit.make_identity().to_bytes()
    request = offer(control, file).request
    assert request is not None
    first = IdentityData(content_sha256=request.content_sha256, offset_bytes=0, data=file[:50])
    control.handle(first)
    resumed = control.identity.request_missing()
    assert resumed is not None
    assert resumed.offset_bytes == 50
    outcome = control.handle(IdentityData(content_sha256=request.content_sha256, offset_bytes=50, data=file[50:]))
    assert outcome.face is not None


def sectioned_identity(info: FaceModelInfo, **changes: Any) -> SectionedIdentity:
    """z, offsets, a picture of somebody, and a part of a later version."""
    dim = info.latent_dim
    offsets = np.ones((info.num_layers, dim), dtype="<f2").tobytes()
    sections = {1: np.full(dim, 5, dtype="<f2").tobytes(), 2: offsets, 4: b"\xff\xd8\xff picture", 9: bytes(300)}
    fields: dict[str, Any] = {"name": "Ann", "weights_sha256": info.weights_sha256, "latent_dim": dim}
    fields |= {"created": date(2026, 11, 26), "is_synthetic": True, "shows_real_person": False}
    return sign_sections(KEY, sections, **(fields | changes))


def test_a_face_is_drawn_with_what_has_come(control: PeerControl, tmp_path: Path) -> None:
    info = control.identity._info
    identity = sectioned_identity(info)
    file = identity.to_bytes()
    outcome = offer(control, file)
    assert outcome.request is not None
    faces = []
    for start in range(len(file)):
        assert IdentityStore(tmp_path).load(identity.content_hash()) is None
        part = IdentityData(content_sha256=identity.content_hash(), offset_bytes=start, data=file[start : start + 1])
        outcome = control.handle(part)
        assert not outcome.notes
        if outcome.face is not None:
            faces.append(outcome.face)
    first, better = faces  # the picture and the unknown part change nothing
    assert (first.z[0], first.layer_offsets) == (5.0, None)
    assert better.layer_offsets is not None
    assert control.identity.name == "Ann"
    assert IdentityStore(tmp_path).load(identity.content_hash()) == identity
    assert offer(control, file) == ControlOutcome()


def test_an_unfinished_identity_goes_on_when_it_is_offered_again(control: PeerControl) -> None:
    file = sectioned_identity(control.identity._info).to_bytes()
    offer(control, file)
    head = file[: len(file) - 400]
    control.handle(IdentityData(content_sha256=content_name(file), offset_bytes=0, data=head))
    again = offer(control, file).request
    assert again is not None
    assert again.offset_bytes == len(head)


def test_sections_for_other_weights_are_refused_with_the_first(control: PeerControl) -> None:
    identity = sectioned_identity(control.identity._info, weights_sha256="cd" * 32)
    file = identity.to_bytes()
    offer(control, file)
    start = identity.header.head_bytes + 100
    outcome = control.handle(IdentityData(content_sha256=identity.content_hash(), offset_bytes=0, data=file[:start]))
    assert outcome.face is None
    assert "was made for other weights" in outcome.notes[0]
    assert control.identity.num_refused == 1
    rest = IdentityData(content_sha256=identity.content_hash(), offset_bytes=start, data=file[start:])
    assert control.handle(rest) == ControlOutcome()
    assert control.identity.name is None


def test_other_version_ends_the_call_with_a_sentence(control: PeerControl) -> None:
    assert (
        control.handle(OtherVersion("update talkface on the older end")).failure == "update talkface on the older end"
    )


def test_other_weights_keep_sound_and_default_face(kit: ModuleType, control: PeerControl) -> None:
    outcome = control.handle(hello(control, weights_sha256="cd" * 32))
    assert outcome.failure is None
    assert "install the same weights" in outcome.notes[0]
    assert not control.style_is_usable
    file = kit.make_identity(weights_sha256="cd" * 32).to_bytes()
    assert offer(control, file).request is None


def test_other_style_tables_cost_only_the_style(kit: ModuleType, control: PeerControl) -> None:
    outcome = control.handle(hello(control, style_table_id=1))
    assert "style is ignored" in outcome.notes[0]
    assert not control.style_is_usable
    assert transfer(control, kit.make_identity().to_bytes()).face is not None


def test_mismatch_is_told_once(control: PeerControl) -> None:
    assert control.handle(hello(control, style_table_id=1)).notes
    assert control.handle(hello(control, style_table_id=1)).notes == ()


def test_damaged_identity_is_refused_and_can_be_offered_again(kit: ModuleType, control: PeerControl) -> None:
    file = kit.make_identity().to_bytes()
    request = offer(control, file).request
    assert request is not None
    [chunk] = identity_chunks(file, request)
    bad = IdentityData(content_sha256=chunk.content_sha256, offset_bytes=0, data=b"X" + chunk.data[1:])
    outcome = control.handle(bad)
    assert outcome.face is None
    assert "refused" in outcome.notes[0]
    assert transfer(control, file).face is not None


def test_identity_of_other_shape_is_refused(kit: ModuleType, control: PeerControl) -> None:
    outcome = transfer(control, kit.make_identity(latent_dim=9).to_bytes())
    assert outcome.face is None
    assert "has 9 values, not 8" in outcome.notes[0]


def test_identities_per_call_are_bounded(kit: ModuleType, control: PeerControl) -> None:
    faces = [transfer(control, kit.make_identity(float(index)).to_bytes()).face for index in range(20)]
    assert sum(face is not None for face in faces) == MAX_IDENTITIES
    assert control.identity.num_refused == 20 - MAX_IDENTITIES


def test_bye_is_understood_and_statistics_are_not_needed(control: PeerControl) -> None:
    assert control.handle(Stats(**dict.fromkeys(Stats.__dataclass_fields__, 1))) == ControlOutcome()
    assert control.handle(Bye(reason="x")).bye == Bye(reason="x")


def test_garbage_never_raises(kit: ModuleType, control: PeerControl) -> None:
    rng = random.Random(1)
    reader = ControlReader()
    file = kit.make_identity().to_bytes()
    samples = [
        encode_message(message) for message in (hello(control), proof_of(file), offer_identity(file), Bye(reason="end"))
    ]
    num_understood = 0
    for second in range(10_000):
        message = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        read = reader.read(bytes(message), second)
        if read is not None:
            num_understood += 1
            control.handle(read, HERE)
    assert 1_000 < num_understood < 9_000


def test_chunks_that_nobody_asked_for_are_dropped(control: PeerControl) -> None:
    chunk = IdentityData(content_sha256="00" * 32, offset_bytes=0, data=b"x")
    assert control.handle(chunk).face is None
    assert control.identity.num_refused_parts == 1
