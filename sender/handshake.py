"""The sender's side of the control channel: identity by hash, chunks when asked.

    us                               far end
    Hello (said by the link) ------>
          <------------------------- Hello            version and tables must fit
    IdentityProof(hash, key) ------>                  that it is ours
    IdentityOffer(hash, size) ----->                  nothing more when it has it
          <------------------------- IdentityRequest(hash, offset)
    IdentityData ... -------------->                  the first 16 kB at once: z and offsets
    IdentityData ... -------------->                  what is larger behind the sound
          <------------------------- Bye

One object per link; on a new link a new one offers the hash again, nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from protocol.control import OtherVersion, ReceivedMessage
from protocol.identity.key import OwnerKey
from protocol.identity.proof import prove_identity
from protocol.identity.transfer import identity_chunks, offer_identity
from protocol.interfaces import MediaLink
from protocol.messages import MAX_CHUNK_BYTES, Bye, Hello, IdentityRequest
from sender.behind_sound import CHUNK_BYTES, BehindSound
from sender.errors import PeerSilentError, PeerVersionError, SenderError

MAX_IDENTITY_REQUESTS = 8
"""Per link: an identity is asked for once, and again after a damaged transfer. More is a flood."""


class Handshake:
    """Waits for the far end's hello on one link and answers what it asks."""

    def __init__(
        self,
        link: MediaLink,
        hello: Hello,
        identity: bytes | None,
        owner_key: OwnerKey | None = None,
        *,
        on_bye: Callable[[str], None] | None = None,
        behind_sound: BehindSound | None = None,
    ) -> None:
        """Listens at once.

        `hello` is what the link says of us, `identity` the identity file (None to send no face), `owner_key` the key
        that signed it. What of the identity is beyond its first chunk goes when `behind_sound` has room; None holds it
        back for ever.
        """
        self._link = link
        self._hello = hello
        self._identity = identity
        self._owner_key = owner_key
        self._on_bye = on_bye
        self._behind_sound = behind_sound or BehindSound()
        self._is_closed = False
        self._theirs: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._requests: asyncio.Queue[IdentityRequest] = asyncio.Queue(maxsize=MAX_IDENTITY_REQUESTS)
        self._num_requests = 0
        self._server: asyncio.Task[None] | None = None
        self.num_ignored = 0
        """Requests beyond what is served."""
        self.identity_bytes_sent = 0
        link.on_control(self._received)

    async def greet(self, timeout_s: float) -> Hello:
        """Wait for the far end's hello and offer the identity; returns that hello.

        Raises:
            PeerVersionError: it speaks another version.
            PeerSilentError: it said nothing in time, or the link ended.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._link.wait_control()
                theirs = await asyncio.shield(self._theirs)
                # With other weights our latent means another face there, or none: it is not offered.
                if self._identity is not None and theirs.weights_sha256 == self._hello.weights_sha256:
                    offer, binding = offer_identity(self._identity), self._link.binding
                    if self._owner_key is not None and binding is not None:
                        await self._link.send_control(prove_identity(binding, self._owner_key, offer.content_sha256))
                    await self._link.send_control(offer)
                    self._server = asyncio.create_task(self._serve_identity())
        except TimeoutError:
            raise PeerSilentError(
                f"the far end did not say hello within {timeout_s:g} s: check that it runs talkface, then call again"
            ) from None
        except ConnectionError as error:
            raise PeerSilentError(f"the far end went away while greeting ({error}): call again") from error
        return theirs

    def close(self) -> None:
        """Stop listening and serving."""
        self._is_closed = True
        if self._server is not None:
            self._server.cancel()
        if not self._theirs.done():
            self._fail(PeerSilentError("the link was replaced before the far end said hello"))

    def _fail(self, error: SenderError) -> None:
        if not self._theirs.done():
            self._theirs.set_exception(error)
            self._theirs.exception()  # nobody need be waiting for it

    def _received(self, message: ReceivedMessage) -> None:
        """One control message; identities of the far end are the receiving session's business."""
        if self._is_closed:
            return
        if isinstance(message, OtherVersion):
            self._fail(PeerVersionError(message.sentence))
        elif isinstance(message, Hello):
            if not self._theirs.done():
                self._theirs.set_result(message)
        elif isinstance(message, IdentityRequest):
            self._num_requests += 1
            if self._num_requests > MAX_IDENTITY_REQUESTS or self._requests.full():
                self.num_ignored += 1
            else:
                self._requests.put_nowait(message)
        elif isinstance(message, Bye) and self._on_bye is not None:
            self._on_bye(message.reason)

    async def _serve_identity(self) -> None:
        assert self._identity is not None
        while True:
            request = await self._requests.get()
            try:
                for chunk in identity_chunks(self._identity, request, later_bytes=CHUNK_BYTES):
                    if chunk.offset_bytes >= MAX_CHUNK_BYTES:
                        await self._behind_sound.take(len(chunk.data))
                    await self._link.send_control(chunk)
                    self.identity_bytes_sent += len(chunk.data)
            except ConnectionError:
                return  # a new link begins again
