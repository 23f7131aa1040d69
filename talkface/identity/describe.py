"""What an identity file says, for people: whose it is, how large its parts are, what its owner states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from protocol.errors import ProtocolError
from protocol.identity.file import IdentityFile
from protocol.identity.read import AnyIdentity, read_identity
from protocol.identity.sections import SectionKind
from protocol.identity.words import key_fingerprint
from protocol.messages import MAX_IDENTITY_BYTES
from talkface.errors import UserError
from talkface.terminal import one_line
from talkface_core.shipped_weights import SHIPPED_WEIGHTS, shipped_weights_folder
from talkface_core.weights import CONFIG_NAME, weights_sha256

SECTION_NAMES: dict[int, str] = {
    SectionKind.LATENT: "latent z: the face in a few bytes",
    SectionKind.OFFSETS: "offsets per layer",
    SectionKind.DETAIL: "tuned noise, biases, colours",
    SectionKind.THUMBNAIL: "picture",
    SectionKind.REEL: "reel: how the person moves",
    SectionKind.WEIGHTS: "tuned affines",
    SectionKind.LOW_RANK: "reserved",
}


def load_identity_file(path: Path) -> AnyIdentity:
    """Read and verify a file.

    Raises:
        UserError: it cannot be read, or is no sound identity file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_IDENTITY_BYTES + 1)  # a device or a film would fill the memory
        return read_identity(data)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ProtocolError as error:
        raise UserError(f"{path}: {error}") from error


def facts_of(identity: AnyIdentity, own_key: bytes | None) -> Iterator[tuple[str, str]]:
    """What the file says, as pairs of name and value.

    Args:
        own_key: the public key of the user, to say that an identity is theirs.
    """
    yield "name", one_line(identity.name) or "(none)"
    owner = " (yours)" if identity.public_key == own_key else ""
    yield "owner's key", key_fingerprint(identity.public_key) + owner
    yield "made for weights", _weights_name(identity.weights_sha256)
    if isinstance(identity, IdentityFile):
        yield "version", "1: a latent alone, without dates and statements"
    else:
        header = identity.header
        yield "made on", header.created.isoformat()
        person = "a real person" if header.shows_real_person else "nobody who exists"
        yield "shows", person + (", from material made by a machine" if header.is_synthetic else "")
        if header.consent:
            yield "consent", f"{one_line(header.consent)} ({header.consent_day.isoformat()})"
        yield "recordings", "may go unmarked" if header.allows_unmarked else "are marked as drawn"
    yield "content hash", identity.content_hash()


def sizes_of(identity: AnyIdentity) -> Iterator[tuple[str, int]]:
    """The parts of the file with their bytes, in their order."""
    if isinstance(identity, IdentityFile):
        parts = len(identity.z) + len(identity.layer_offsets)
        yield "header and signature", len(identity.to_bytes()) - parts
        yield SECTION_NAMES[SectionKind.LATENT], len(identity.z)
        if identity.layer_offsets:
            yield SECTION_NAMES[SectionKind.OFFSETS], len(identity.layer_offsets)
        return
    yield "header and signature", identity.header.head_bytes
    for entry in identity.header.sections:
        yield SECTION_NAMES.get(entry.kind, f"part {entry.kind} of a later version"), entry.length


def _weights_name(digest: str) -> str:
    for name in SHIPPED_WEIGHTS:
        path = shipped_weights_folder(name) / CONFIG_NAME
        if path.exists() and weights_sha256(path) == digest:
            return f"{name} ({digest[:12]}…)"
    return f"{digest[:12]}… (not among those that come with this program)"
