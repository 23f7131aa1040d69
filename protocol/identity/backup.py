"""A backup of an owner's key: encrypted with a passphrase (scrypt, RFC 7914; AES-256-GCM, SP 800-38D).

    0  4  magic "TFKB"    4  1  version, 1    5  16  salt    21  12  nonce    33  48  encrypted seed with its tag

scrypt's costs belong to the version, so that no file can ask for more: N = 2^17, r = 8, p = 1, 128 MB. Magic, version
and salt are authenticated too.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import unicodedata

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.errors import BadMagicError, ProtocolError, TruncatedPacketError, UnsupportedVersionError
from protocol.identity.key import OwnerKey

BACKUP_MAGIC = b"TFKB"
BACKUP_VERSION = 1
MIN_PASSPHRASE_CHARACTERS = 10
_N, _R, _P = 1 << 17, 8, 1
_SALT_BYTES, _NONCE_BYTES, _SECRET_BYTES = 16, 12, 48
_START = struct.Struct(f">4sB{_SALT_BYTES}s")
BACKUP_BYTES = _START.size + _NONCE_BYTES + _SECRET_BYTES


class WrongPassphraseError(ProtocolError):
    """Raised when a backup does not open: another passphrase, or a damaged file. Try again, or another copy."""


def lock_key(key: OwnerKey, passphrase: str) -> bytes:
    """The backup's bytes; other ones each time.

    Raises:
        ValueError: the passphrase is shorter than `MIN_PASSPHRASE_CHARACTERS`.
    """
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise ValueError(f"the passphrase is shorter than {MIN_PASSPHRASE_CHARACTERS} characters")
    start = _START.pack(BACKUP_MAGIC, BACKUP_VERSION, secrets.token_bytes(_SALT_BYTES))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return start + nonce + AESGCM(_stretch(passphrase, start)).encrypt(nonce, key.seed, start)


def unlock_key(data: bytes, passphrase: str) -> OwnerKey:
    """The key in a backup.

    Raises:
        WrongPassphraseError: another passphrase, or the file is damaged.
        ProtocolError: it is not a backup of this version.
    """
    if data[:4] != BACKUP_MAGIC[: len(data)]:
        raise BadMagicError("key backup magic is not TFKB: this is another kind of file")
    if len(data) >= 5 and data[4] != BACKUP_VERSION:
        raise UnsupportedVersionError(f"key backup version {data[4]} is unknown, this program reads 1")
    if len(data) != BACKUP_BYTES:
        raise TruncatedPacketError(f"key backup of {len(data)} bytes is not {BACKUP_BYTES}")
    start, nonce = data[: _START.size], data[_START.size : _START.size + _NONCE_BYTES]
    try:
        seed = AESGCM(_stretch(passphrase, start)).decrypt(nonce, data[_START.size + _NONCE_BYTES :], start)
    except InvalidTag:
        raise WrongPassphraseError("key backup does not open: another passphrase, or a damaged file") from None
    return OwnerKey.from_seed(seed)


def _stretch(passphrase: str, start: bytes) -> bytes:
    # Keyboards differ in how they spell an accent; what people see decides.
    text = unicodedata.normalize("NFKC", passphrase).encode(errors="surrogatepass")
    salt = start[-_SALT_BYTES:]
    return hashlib.scrypt(text, salt=salt, n=_N, r=_R, p=_P, dklen=32, maxmem=_N * _R * 128 + (1 << 20))
