"""Keeps a call up: meets the peer over signalling, makes a connection, and a new one when the path is lost.

One task (`RtcCall.run`) waits for whatever comes first: a signalling event, the end of an attempt, silence on the
connection, new addresses of this machine. To negotiate anew, either side joins its room again; the server then gives
both a new generation, and the one that was there first makes the offer. The old connection stays in use until the new
one is up: when the network comes back on the same path, media flows again at once and nothing was lost.

Once there is a connection, whatever the signalling server says is advice: a leave ends a call only when the connection
has ended too, and a server that refuses, talks nonsense or forges descriptions is joined again.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from protocol.errors import (
    ProtocolError,
    RateLimitedError,
    ServerBusyError,
    SignallingError,
    SignallingUnreachableError,
)
from protocol.interfaces import Clock
from protocol.signalling.messages import Description, DescriptionKind, PeerJoined, PeerLeft
from talkface.rtc.errors import LinkError, PeerGoneError
from talkface.rtc.link_life import LinkState
from talkface.rtc.local_addresses import host_addresses
from talkface.rtc.meetings import Meetings
from talkface.rtc.peer_presence import PeerPresence

logger = logging.getLogger(__name__)

AUDIO_SILENCE_US = 3_000_000
"""A peer that speaks sends something every 400 ms (a browser in silence: 1.2 s); after this long the path is lost."""
SILENCE_US = 12_000_000
"""A peer that only listens reports every 5 s, and consent is asked for and given every 10 s."""
MOVED_SILENCE_US = 1_000_000
"""Silence that is taken for a loss when an address of this machine is gone too (Wi-Fi to LTE)."""
CLOSED_GRACE_S = 1.0
"""Between a connection's end and a new attempt: a peer that hangs up also says so over signalling."""
FIRST_ATTEMPT_S = 30.0
RETRY_ATTEMPT_S = 12.0
"""Longest attempt to reconnect; five round trips of 2 s fit."""
_SIGNALLING_RETRIES_S = (0.1, 0.3, 0.5, 1.0)
_RETRYABLE = (SignallingUnreachableError, RateLimitedError, ServerBusyError)


class Signalling(Protocol):
    """What a call needs of `protocol.signalling.client.SignallingClient`; tests hand descriptions over in memory."""

    async def connect(self) -> None: ...

    async def next_event(self) -> PeerJoined | PeerLeft | Description: ...

    async def send_description(self, generation: int, kind: DescriptionKind, sdp: str) -> None: ...

    async def close(self) -> None: ...


class CallLink(Protocol):
    """What a call needs of `talkface.rtc.link.RtcLink`."""

    @property
    def state(self) -> LinkState: ...

    @property
    def last_heard_us(self) -> int: ...

    @property
    def last_audio_us(self) -> int | None: ...

    @property
    def last_refused_us(self) -> int | None: ...

    async def create_offer(self) -> str: ...

    async def accept_offer(self, sdp: str) -> str: ...

    async def accept_answer(self, sdp: str) -> None: ...

    async def wait_connected(self, timeout_s: float) -> None: ...

    async def close(self) -> None: ...


L = TypeVar("L", bound=CallLink)


@dataclass(frozen=True, slots=True)
class PathWatch:
    """How the path is watched."""

    interval_s: float = 0.25
    addresses: Callable[[], Iterable[str]] = host_addresses
    """Of this machine, now."""


REAL_PATH = PathWatch()


class CallState(enum.Enum):
    """What a call is doing, for people."""

    WAITING = "waiting"
    """For the peer to come into the room."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    INTERRUPTED = "interrupted"
    """The path is lost; a new connection is being tried."""
    ENDED = "ended"


class RtcCall(Generic[L]):
    """One call with one peer.

    Args:
        signalling: a client that may be connected already or not.
        make_link: a new link with the call's options and meter.
        on_link: called with each link that has come up; sessions then `replace_link`.
        watch: how the path is watched.
    """

    def __init__(
        self,
        signalling: Signalling,
        make_link: Callable[[], L],
        on_link: Callable[[L], None],
        clock: Clock,
        on_state: Callable[[CallState], None] = lambda state: None,
        *,
        watch: PathWatch = REAL_PATH,
    ) -> None:
        self._signalling, self._make_link, self._on_link, self._clock = signalling, make_link, on_link, clock
        self._on_state = on_state
        self._watch = watch
        self.link: L | None = None
        """The link in use; None before the first."""
        self.reconnects = 0
        self.state = CallState.WAITING
        self._meetings = Meetings()
        self._presence = PeerPresence()
        self._attempt: asyncio.Task[L] | None = None
        self._addresses = frozenset(self._watch.addresses())
        self._retry_at_us: int | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the peer has left for good, or the task is cancelled; closes everything then.

        Raises:
            SignallingError: the server refused in a way that trying again cannot change (wrong secret, full room).
            ProtocolError: a description was changed on its way.
            PeerGoneError: the peer's program has ended without a goodbye.
        """
        event: asyncio.Task[Any] | None = None
        try:
            await self._join()
            while True:
                event = event or asyncio.ensure_future(self._next_event())
                waiting = {event} | ({self._attempt} if self._attempt else set())
                await asyncio.wait(waiting, timeout=self._watch.interval_s, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    finished, event = event.result(), None
                    self._handle(finished)
                if self._attempt is not None and self._attempt.done():
                    self._finish_attempt(self._attempt)
                if self._presence.has_hung_up and not self._is_alive(self._clock.now_us()):
                    return
                self._check_peer()
                if self._is_lost() and self._attempt is None:
                    if event is not None:
                        await _cancel(event)
                        event = None
                    await self._meet_again()
        finally:
            if event is not None:
                await _cancel(event)
            await self._end()

    async def close(self) -> None:
        """End the connection and leave the room; `run` has been cancelled or has returned."""
        await self._end()

    # --- signalling ---

    async def _join(self) -> None:
        try:
            await self._signalling.connect()
        except SignallingError:
            self._presence.disconnected()
            raise
        self._presence.connected(self._clock.now_us())

    async def _next_event(self) -> PeerJoined | PeerLeft | Description:
        """The next event; a lost signalling connection is joined again, for as long as it takes."""
        attempt = 0
        while True:
            try:
                if attempt:
                    await self._join()
                return await self._signalling.next_event()
            except SignallingError as error:
                if not self._may_try_again(error):
                    raise
                self._presence.disconnected()
                logger.info("signalling: %s", error)
                await asyncio.sleep(_SIGNALLING_RETRIES_S[min(attempt, len(_SIGNALLING_RETRIES_S) - 1)])
                attempt += 1
            except ProtocolError as error:  # a description of somebody who does not know the secret
                if self.link is None:
                    raise
                logger.warning("signalling: %s", error)

    def _may_try_again(self, error: ProtocolError) -> bool:
        """What ends the wait for a call does not end a call."""
        return isinstance(error, _RETRYABLE) or self.link is not None

    async def _meet_again(self) -> None:
        """Join the room anew, so that both sides negotiate."""
        self._show(CallState.INTERRUPTED)
        # Until PeerJoined comes, or fails to.
        self._retry_at_us = self._clock.now_us() + AUDIO_SILENCE_US
        try:
            await self._join()
            self._retry_at_us = self._clock.now_us() + AUDIO_SILENCE_US  # on a slow path the joining itself took long
        except SignallingError as error:
            if not self._may_try_again(error):
                raise
            logger.info("signalling: %s", error)
            self._retry_at_us = self._clock.now_us() + 500_000

    def _handle(self, event: PeerJoined | PeerLeft | Description) -> None:
        if isinstance(event, PeerLeft):
            self._presence.left(self._clock.now_us(), is_final=event.is_final)
            return
        if isinstance(event, PeerJoined):
            self._presence.came()
            if not self._meetings.begin(event.generation, self._clock.now_us()):
                logger.warning("signalling: too many meetings, one is passed over")
                return
            self._cancel_attempt()
            if not self._is_alive(self._clock.now_us()):
                self._show(CallState.INTERRUPTED if self.link else CallState.CONNECTING)
            self._attempt = asyncio.ensure_future(self._negotiate(event, self._meetings.current.descriptions))
            return
        if event.generation == self._meetings.current.generation and not self._meetings.current.descriptions.full():
            self._meetings.current.descriptions.put_nowait(event)

    # --- one attempt ---

    async def _negotiate(self, meeting: PeerJoined, descriptions: asyncio.Queue[Description]) -> L:
        link = self._make_link()
        try:
            async with asyncio.timeout(RETRY_ATTEMPT_S if self.link else FIRST_ATTEMPT_S) as limit:
                if meeting.is_offerer:
                    offer = await link.create_offer()
                    await self._signalling.send_description(meeting.generation, "offer", offer)
                    await link.accept_answer(await _description(descriptions, "answer"))
                else:
                    answer = await link.accept_offer(await _description(descriptions, "offer"))
                    await self._signalling.send_description(meeting.generation, "answer", answer)
                await link.wait_connected(FIRST_ATTEMPT_S)
            return link
        except BaseException as error:
            await link.close()
            if limit.expired():
                raise LinkError("no connection to the far end in time") from error
            raise

    def _finish_attempt(self, attempt: asyncio.Task[L]) -> None:
        self._attempt = None
        if attempt.cancelled():
            return
        error = attempt.exception()
        if error is None:
            self._adopt(attempt.result())
        elif isinstance(error, LinkError) or (isinstance(error, ProtocolError) and self._may_try_again(error)):
            logger.info("attempt failed: %s", error)
            self._retry_at_us = self._clock.now_us() + int(CLOSED_GRACE_S * 1e6)
        else:
            raise error

    def _adopt(self, link: L) -> None:
        previous, self.link = self.link, link
        if previous is not None:
            self.reconnects += 1
            task = asyncio.ensure_future(previous.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._addresses = frozenset(self._watch.addresses())
        self._retry_at_us = None
        self._show(CallState.CONNECTED)
        self._on_link(link)

    def _cancel_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt.add_done_callback(_consume)
            self._attempt = None

    # --- watching ---

    def _check_peer(self) -> None:
        now_us = self._clock.now_us()
        is_silent = not self._is_alive(now_us)
        if self.link is not None and self._presence.is_gone(now_us, self.link, is_silent=is_silent):
            raise PeerGoneError

    def _is_lost(self) -> bool:
        """True when it is time to negotiate anew."""
        now_us = self._clock.now_us()
        if self._retry_at_us is not None:
            if self._is_alive(now_us):
                self._retry_at_us = None
                self._show(CallState.CONNECTED)
                return False
            return now_us >= self._retry_at_us
        if self.link is None:
            return False
        if self.link.state is LinkState.CLOSED:
            self._retry_at_us = now_us + int(CLOSED_GRACE_S * 1e6)
            return False
        return not self._is_alive(now_us)

    def _is_alive(self, now_us: int) -> bool:
        link = self.link
        if link is None or link.state is LinkState.CLOSED:
            return False
        silence_us = now_us - link.last_heard_us
        # An address that is new (a VPN, a container) takes nothing from the path in use.
        if silence_us > MOVED_SILENCE_US and self._addresses - frozenset(self._watch.addresses()):
            return False
        if link.last_audio_us is not None and now_us - link.last_audio_us > AUDIO_SILENCE_US:
            return silence_us <= AUDIO_SILENCE_US
        return silence_us <= SILENCE_US

    def _show(self, state: CallState) -> None:
        if state is not self.state:
            self.state = state
            self._on_state(state)

    async def _end(self) -> None:
        attempt = self._attempt
        self._cancel_attempt()
        if attempt is not None:
            await _cancel(attempt)
            if not attempt.cancelled() and attempt.exception() is None:
                await attempt.result().close()
        await self._signalling.close()
        if self.link is not None:
            await self.link.close()
        await asyncio.gather(*self._closing, return_exceptions=True)
        self._show(CallState.ENDED)


async def _description(descriptions: asyncio.Queue[Description], kind: DescriptionKind) -> str:
    while True:
        description = await descriptions.get()
        if description.kind == kind:
            return description.sdp


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    _consume(task)


def _consume(task: asyncio.Task[Any]) -> None:
    """Take note of a task's end, so that asyncio does not report an exception nobody asked for."""
    if not task.cancelled():
        task.exception()
