"""The sender's side of the control channel: hello, identity by hash, chunks when asked, and what the far end reports.

    us                               far end
    Hello ------------------------->
          <------------------------- Hello            version and tables must fit
    IdentityOffer(hash, size) ----->                  nothing more when it has it
          <------------------------- IdentityRequest(hash, offset)
    IdentityData ... -------------->
          <------------------------- Stats, Bye

One object per link; on a new link a new one says hello again and offers the hash, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from protocol.errors import ProtocolError, UnknownTypeError, UnsupportedVersionError
from protocol.identity.transfer import identity_chunks, offer_identity
from protocol.interfaces import MediaLink
from protocol.messages import Bye, Hello, IdentityRequest, Message, Stats, decode_message, encode_message
from sender.errors import PeerSilentError, PeerVersionError, SenderError

logger = logging.getLogger(__name__)

MAX_IDENTITY_REQUESTS = 8
"""Per link: an identity is asked for once, and again after a damaged transfer. More is a flood."""


class Handshake:
    """Greets the far end over one link and answers what it asks."""

    def __init__(
        self,
        link: MediaLink,
        hello: Hello,
        identity: bytes | None,
        *,
        on_bye: Callable[[str], None] | None = None,
    ) -> None:
        """Listens at once. `identity` is the identity file, None to send no face of our own."""
        self._link = link
        self._hello = hello
        self._identity = identity
        self._on_bye = on_bye
        self._is_closed = False
        self._theirs: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._requests: asyncio.Queue[IdentityRequest] = asyncio.Queue(maxsize=MAX_IDENTITY_REQUESTS)
        self._num_requests = 0
        self._server: asyncio.Task[None] | None = None
        self.far_end_stats: Stats | None = None
        self.num_malformed = 0
        self.num_ignored = 0
        self.identity_bytes_sent = 0
        link.on_control(self._received)

    async def greet(self, timeout_s: float) -> Hello:
        """Exchange hellos and offer the identity; returns the far end's hello.

        Raises:
            PeerVersionError: it speaks another version.
            PeerSilentError: it said nothing in time, or the link ended.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._link.send_control(encode_message(self._hello))
                theirs = await asyncio.shield(self._theirs)
                # With other weights our latent means another face there, or none: it is not offered.
                if self._identity is not None and theirs.weights_sha256 == self._hello.weights_sha256:
                    await self._link.send_control(encode_message(offer_identity(self._identity)))
                    self._server = asyncio.create_task(self._serve_identity())
        except TimeoutError:
            raise PeerSilentError(
                f"the far end did not say hello within {timeout_s:g} s: check that it runs talkface, then call again"
            ) from None
        except ConnectionError as error:
            raise PeerSilentError(f"the far end went away while greeting ({error}): call again") from error
        return theirs

    async def say_bye(self, reason: str) -> None:
        """Tell the far end that we hang up; silently given up when it is gone."""
        try:
            async with asyncio.timeout(1.0):
                await self._link.send_control(encode_message(Bye(reason=reason)))
        except (TimeoutError, ConnectionError):
            logger.debug("the far end is gone, no bye")

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

    def _received(self, data: bytes) -> None:
        """One control message; bytes are hostile, so whatever is wrong is counted and dropped."""
        if self._is_closed:
            return
        try:
            message = decode_message(data)
        except UnsupportedVersionError as error:
            self._fail(PeerVersionError(str(error)))
            return
        except UnknownTypeError:
            self.num_ignored += 1
            return
        except ProtocolError as error:
            self.num_malformed += 1
            logger.debug("dropped control message: %s", error)
            return
        self._handle(message)

    def _handle(self, message: Message) -> None:
        if isinstance(message, Hello):
            if not self._theirs.done():
                self._theirs.set_result(message)
        elif isinstance(message, IdentityRequest):
            self._num_requests += 1
            if self._num_requests > MAX_IDENTITY_REQUESTS or self._requests.full():
                self.num_ignored += 1
            else:
                self._requests.put_nowait(message)
        elif isinstance(message, Stats):
            self.far_end_stats = message
        elif isinstance(message, Bye):
            if self._on_bye is not None:
                self._on_bye(message.reason)
        else:
            self.num_ignored += 1  # its own identity is the receiving session's business

    async def _serve_identity(self) -> None:
        assert self._identity is not None
        while True:
            request = await self._requests.get()
            try:
                for chunk in identity_chunks(self._identity, request):
                    await self._link.send_control(encode_message(chunk))
                    self.identity_bytes_sent += len(chunk.data)
            except ConnectionError:
                return  # a new link begins again
