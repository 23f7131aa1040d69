"""Identities of people we have talked to, on disk by content hash: a second call sends 32 bytes instead of a face.

Files come from peers: a name is a hash and nothing else, the content is verified when it is written and again when it
is read, and the folder is bounded (the least recently used give way).
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import numpy as np

from protocol.errors import ProtocolError
from protocol.identity.read import AnyIdentity, read_identity
from protocol.identity.sectioned import SectionedIdentity
from protocol.identity.sections import SectionKind
from receiver.errors import ReceiverError
from talkface_core.interfaces import FaceIdentity, FaceModelInfo

MAX_STORE_BYTES = 64 << 20
SUFFIX = ".identity"
_HASH = re.compile(r"[0-9a-f]{64}")


class IdentityStore:
    """A folder of verified identity files."""

    def __init__(self, folder: Path, max_bytes: int = MAX_STORE_BYTES) -> None:
        """Create the folder if need be.

        Raises:
            ReceiverError: it cannot be made or written to.
        """
        self.folder = folder
        self._max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReceiverError(
                f"identity folder {folder} cannot be made ({error.strerror}): choose another with --cache-folder"
            ) from error
        if not os.access(folder, os.W_OK):
            raise ReceiverError(f"identity folder {folder} is not writable: choose another with --cache-folder")

    def load(self, content_sha256: str) -> AnyIdentity | None:
        """The identity of that hash, or None when it is not here; a damaged file is removed."""
        path = self._path(content_sha256)
        try:
            identity = read_identity(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ProtocolError):
            path.unlink(missing_ok=True)
            return None
        if identity.content_hash() != content_sha256:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # the order of use decides what gives way
        return identity

    def save(self, identity: AnyIdentity) -> Path:
        """Write an identity; the file appears whole or not at all.

        Raises:
            ReceiverError: the disk is full or the folder is gone.
        """
        path = self._path(identity.content_hash())
        content = identity.to_bytes()
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".partial", delete=False) as partial:
                partial.write(content)
            os.replace(partial.name, path)
        except OSError as error:
            raise ReceiverError(f"identity cannot be kept in {self.folder}: {error.strerror}") from error
        self._make_room()
        return path

    def _path(self, content_sha256: str) -> Path:
        if not _HASH.fullmatch(content_sha256):
            raise ValueError("identity store: a content hash is 64 hex digits")
        return self.folder / f"{content_sha256}{SUFFIX}"

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another call of this user took it away
                continue
            files.append((status.st_mtime_ns, status.st_size, path))
        files.sort()
        total = sum(size for _, size, _ in files)
        for _, size, path in files[:-1]:
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def identity_for_model(identity: AnyIdentity, info: FaceModelInfo) -> FaceIdentity:
    """The arrays of an identity, for this model; z must have come.

    Raises:
        ReceiverError: it belongs to other weights or has another shape; the message says which.
    """
    if identity.weights_sha256 != info.weights_sha256:
        raise ReceiverError(
            f"the identity {identity.name!r} was made for other weights ({identity.weights_sha256[:8]}, "
            f"ours {info.weights_sha256[:8]}): install the same weights on both ends"
        )
    if identity.latent_dim != info.latent_dim:
        raise ReceiverError(f"the identity {identity.name!r} has {identity.latent_dim} values, not {info.latent_dim}")
    if identity.num_layers not in (0, info.num_layers):
        raise ReceiverError(
            f"the identity {identity.name!r} has offsets for {identity.num_layers} layers, not {info.num_layers}"
        )
    dtype = identity.number_format.numpy_dtype
    z = np.frombuffer(identity.z, dtype=dtype).astype(np.float32)
    offsets = None
    if identity.num_layers:
        offsets = np.frombuffer(identity.layer_offsets, dtype=dtype).astype(np.float32)
        offsets = offsets.reshape(identity.num_layers, identity.latent_dim)
    return FaceIdentity(z=z, layer_offsets=offsets, tuned=tuned_sections(identity))


def tuned_sections(identity: AnyIdentity) -> tuple[bytes, ...]:
    """The tuned parts that have come, packed; none in version 1."""
    if not isinstance(identity, SectionedIdentity):
        return ()
    parts = (identity.section(kind) for kind in (SectionKind.DETAIL, SectionKind.WEIGHTS))
    return tuple(part for part in parts if part)
