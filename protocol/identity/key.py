"""The key with which a person signs identity files of theirs: Ed25519 (RFC 8032)."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
_MAX_PEM_BYTES = 4096


class OwnerKey:
    """A private key. Whoever holds it can sign faces as its owner: keep it out of calls and copies."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> OwnerKey:
        """A new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> OwnerKey:
        """The key that follows from 32 secret bytes (RFC 8032)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that the key follows from."""
        return self._key.private_bytes_raw()

    @classmethod
    def from_pem(cls, pem: bytes) -> OwnerKey:
        """Read what `to_pem` wrote.

        Raises:
            ValueError: it is not an unencrypted Ed25519 private key in PEM form.
        """
        try:
            key = serialization.load_pem_private_key(pem[:_MAX_PEM_BYTES], password=None)
        except (ValueError, TypeError) as error:
            raise ValueError(f"owner key is not a readable PEM private key: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("owner key is of another kind than Ed25519")
        return cls(key)

    def to_pem(self) -> bytes:
        """PKCS #8 in PEM, not encrypted: write it with mode 0600."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public_key(self) -> bytes:
        """32 bytes that stand for the owner in identity files."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """64 bytes; the same data gives the same signature."""
        return self._key.sign(data)


def signature_is_valid(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the holder of `public_key` signed exactly `data`; never raises on hostile bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
