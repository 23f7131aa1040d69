"""An identity across the control channel: offered by hash, sent in chunks, put together and verified.

sender                     receiver
offer(hash, size)  ----->  in the cache? then nothing more
                   <-----  request(hash, offset)
data(hash, 0, ...) ----->  version 2: the head fits the hash, then section after section is verified and used
data(hash, n, ...) ----->  version 1: the SHA-256 of the whole fits, the file is verified and used
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from protocol.errors import MalformedPacketError, ProtocolError
from protocol.identity.file import IdentityFile
from protocol.identity.header import PREFIX_BYTES, IdentityHeader, head_length
from protocol.identity.read import MAGIC_BYTES, AnyIdentity, content_name, is_sectioned
from protocol.identity.sectioned import SectionedIdentity
from protocol.messages import MAX_CHUNK_BYTES, IdentityData, IdentityOffer, IdentityRequest


def offer_identity(file: bytes) -> IdentityOffer:
    """The offer for an identity file.

    Raises:
        ProtocolError: it is empty, too large, or of an unknown version.
    """
    return IdentityOffer(content_sha256=content_name(file), size_bytes=len(file))


def identity_chunks(
    file: bytes, request: IdentityRequest, *, later_bytes: int = MAX_CHUNK_BYTES
) -> Iterator[IdentityData]:
    """The chunks that answer a request; none when it asks for another identity or starts past the end.

    Args:
        later_bytes: size of chunks after the file's first `MAX_CHUNK_BYTES`.
    """
    if request.content_sha256 != content_name(file):
        return
    start = request.offset_bytes
    while start < len(file):
        end = MAX_CHUNK_BYTES if start < MAX_CHUNK_BYTES else start + later_bytes
        yield IdentityData(content_sha256=request.content_sha256, offset_bytes=start, data=file[start:end])
        start = end


class IdentityAssembler:
    """Collects the chunks of one offered identity; never holds more than the offer announced.

    After a broken connection the same object goes on: send `request()` again.
    """

    def __init__(self, offer: IdentityOffer) -> None:
        self.offer = offer
        self._received = bytearray()
        self._header: IdentityHeader | None = None
        self._num_sections = 0

    def request(self) -> IdentityRequest:
        """Asks for what is missing."""
        return IdentityRequest(content_sha256=self.offer.content_sha256, offset_bytes=len(self._received))

    def add(self, chunk: IdentityData) -> AnyIdentity | None:
        """Take the next chunk. Repeated ones are ignored.

        Returns:
            The verified identity each time that more of it can be used: after every section of version 2, at the end
            of version 1. None between.

        Raises:
            ProtocolError: a chunk of another identity or out of order, or what has come does not have the offered
                hash, or is no valid identity. What was collected is dropped.
        """
        if chunk.content_sha256 != self.offer.content_sha256:
            raise MalformedPacketError("identity data content_sha256 is not the one that was asked for")
        have = len(self._received)
        if chunk.offset_bytes + len(chunk.data) <= have:
            return None
        try:
            if chunk.offset_bytes != have or have + len(chunk.data) > self.offer.size_bytes:
                raise MalformedPacketError(
                    f"identity data offset_bytes {chunk.offset_bytes} with {len(chunk.data)} bytes does not continue "
                    f"{have} of {self.offer.size_bytes}"
                )
            self._received += chunk.data
            if len(self._received) < min(MAGIC_BYTES, self.offer.size_bytes):
                return None
            return self._sections() if is_sectioned(self._received) else self._whole_file()
        except ProtocolError:
            self._received.clear()
            self._header, self._num_sections = None, 0
            raise

    def _whole_file(self) -> IdentityFile | None:
        if len(self._received) < self.offer.size_bytes:
            return None
        file = bytes(self._received)
        if hashlib.sha256(file).hexdigest() != self.offer.content_sha256:
            raise MalformedPacketError("identity data does not have the offered SHA-256")
        return IdentityFile.from_bytes(file)

    def _sections(self) -> SectionedIdentity | None:
        if self._header is None and not self._read_head():
            return None
        assert self._header is not None
        end, count = self._header.head_bytes, 0
        for entry in self._header.sections:
            if end + entry.length > len(self._received):
                break
            end, count = end + entry.length, count + 1
        if count == self._num_sections:
            return None
        self._num_sections = count
        return SectionedIdentity.from_beginning(bytes(self._received[:end]))

    def _read_head(self) -> bool:
        """Whether header and signature are here; they must be what was offered."""
        have = len(self._received)
        if (have < PREFIX_BYTES or have < head_length(self._received)) and have < self.offer.size_bytes:
            return False
        start = bytes(self._received)
        if content_name(start) != self.offer.content_sha256:
            raise MalformedPacketError("identity data does not have the offered SHA-256")
        self._header = IdentityHeader.from_bytes(start)
        if self._header.size_bytes != self.offer.size_bytes:
            raise MalformedPacketError(
                f"identity data is {self._header.size_bytes} bytes long, {self.offer.size_bytes} were offered"
            )
        return True
