"""STUN requests on a schedule that suits long, lossy and expensive paths (RFC 8489 section 6.2.1, RFC 7675).

aioice gives a consent check one try and 0.5 s, which ends a healthy call on a path with a round trip above that, and
doubles the wait between connectivity checks up to 32 s, which is how long a path that comes back can go unnoticed.
Consent is asked for every 10 s where the RFC says 5: it saves 0.17 kbps each way, and still expires after 30 s.
Only public names of aioice are used here; `adapter` puts it in place.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aioice import stun

CHECK_DELAYS_S = (0.5, 1.0)
"""Waits between the repeats of an ICE connectivity check; the last one repeats."""
CHECK_TIMEOUT_S = 30.0
CONSENT_DELAYS_S = (1.5, 10.0)
"""A consent check (RFC 7675) is repeated once: two losses in a row are needed to miss one."""
CONSENT_TIMEOUT_S = 4.5
CONSENT_INTERVAL_S = 10.0
"""Between two consent checks, spread by a fifth to either side."""
CONSENT_RETRY_S = 2.0
"""After one that failed."""
CONSENT_EXPIRY_S = 30.0
"""RFC 7675 section 5.1: without an answer for this long nothing more may be sent."""


class StunSender(Protocol):
    """Where requests leave."""

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None: ...


class PacedTransaction:
    """A STUN request repeated on a schedule of ours until an authentic answer or the deadline (RFC 8489 6.2.1)."""

    def __init__(self, request: stun.Message, addr: tuple[str, int], sender: StunSender, key: bytes | None) -> None:
        self._request, self._addr, self._sender, self._key = request, addr, sender, key
        self._answer: asyncio.Future[tuple[stun.Message, tuple[str, int]]] = asyncio.get_running_loop().create_future()

    def response_received(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """A response with this transaction's number; ignored unless it carries the right MAC."""
        if self._answer.done() or (self._key is not None and not message.check_message_integrity(self._key)):
            return
        if message.message_class == stun.Class.RESPONSE:
            self._answer.set_result((message, addr))
        else:
            self._answer.set_exception(stun.TransactionFailed(message))

    async def run(self, delays_s: Sequence[float], timeout_s: float) -> tuple[stun.Message, tuple[str, int]]:
        """Send, repeat after each of `delays_s` (the last one again and again), and return the response.

        Raises:
            stun.TransactionError: refused, or no answer in time.
        """
        repeater = asyncio.ensure_future(self._repeat(delays_s))
        try:
            return await asyncio.wait_for(self._answer, timeout_s)
        except TimeoutError:
            raise stun.TransactionTimeout() from None
        finally:
            repeater.cancel()

    async def _repeat(self, delays_s: Sequence[float]) -> None:
        index = 0
        while True:
            self._sender.send_stun(self._request, self._addr)
            await asyncio.sleep(delays_s[min(index, len(delays_s) - 1)])
            index += 1


async def keep_consent(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask for consent again and again with `check`, which says whether the far end has answered.

    Returns:
        When consent has expired.
    """
    loop = asyncio.get_running_loop()
    answered_s = loop.time()
    pause_s = CONSENT_INTERVAL_S
    while loop.time() - answered_s < CONSENT_EXPIRY_S:
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
        if await check():
            answered_s, pause_s = loop.time(), CONSENT_INTERVAL_S
        else:
            pause_s = CONSENT_RETRY_S
