"""An identity across the control channel: offered by hash, sent in chunks, put together and verified.

sender                     receiver
offer(hash, size)  ----->  in the cache? then nothing more
                   <-----  request(hash, offset)
data(hash, 0, ...) ----->  ...
data(hash, n, ...) ----->  SHA-256 fits -> IdentityFile.from_bytes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from protocol.errors import MalformedPacketError
from protocol.identity.file import IdentityFile
from protocol.messages import MAX_CHUNK_BYTES, IdentityData, IdentityOffer, IdentityRequest


def offer_identity(file: bytes) -> IdentityOffer:
    """The offer for an identity file.

    Raises:
        ProtocolError: it is empty or too large.
    """
    return IdentityOffer(content_sha256=hashlib.sha256(file).hexdigest(), size_bytes=len(file))


def identity_chunks(file: bytes, request: IdentityRequest) -> Iterator[IdentityData]:
    """The chunks that answer a request; none when it asks for another identity or starts past the end."""
    if request.content_sha256 != hashlib.sha256(file).hexdigest():
        return
    for start in range(request.offset_bytes, len(file), MAX_CHUNK_BYTES):
        yield IdentityData(
            content_sha256=request.content_sha256, offset_bytes=start, data=file[start : start + MAX_CHUNK_BYTES]
        )


class IdentityAssembler:
    """Collects the chunks of one offered identity; never holds more than the offer announced.

    After a broken connection the same object goes on: send `request()` again.
    """

    def __init__(self, offer: IdentityOffer) -> None:
        self.offer = offer
        self._received = bytearray()

    def request(self) -> IdentityRequest:
        """Asks for what is missing."""
        return IdentityRequest(content_sha256=self.offer.content_sha256, offset_bytes=len(self._received))

    def add(self, chunk: IdentityData) -> IdentityFile | None:
        """Take the next chunk. Repeated ones are ignored.

        Returns:
            The verified identity once it is complete, None before.

        Raises:
            ProtocolError: a chunk of another identity or out of order, or the whole does not have the offered hash,
                or is no valid identity file. What was collected is dropped.
        """
        if chunk.content_sha256 != self.offer.content_sha256:
            raise MalformedPacketError("identity data content_sha256 is not the one that was asked for")
        have = len(self._received)
        if chunk.offset_bytes + len(chunk.data) <= have:
            return None
        if chunk.offset_bytes != have or have + len(chunk.data) > self.offer.size_bytes:
            self._received.clear()
            raise MalformedPacketError(
                f"identity data offset_bytes {chunk.offset_bytes} with {len(chunk.data)} bytes does not continue "
                f"{have} of {self.offer.size_bytes}"
            )
        self._received += chunk.data
        if len(self._received) < self.offer.size_bytes:
            return None
        file = bytes(self._received)
        self._received.clear()
        if hashlib.sha256(file).hexdigest() != self.offer.content_sha256:
            raise MalformedPacketError("identity data does not have the offered SHA-256")
        return IdentityFile.from_bytes(file)
