"""The receiving session: one peer's packets and messages become its voice and its drawn face.

The event loop decodes sound (a fraction of a millisecond per packet) and hands out; drawing, encoding and devices run
on threads of their own behind bounded queues. The session outlives its connection: `replace_link` goes on with the
same face, identity, clocks and counters over a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.control import ReceivedMessage
from protocol.interfaces import Clock, EndCause, MediaLink, ReceivedPacket, SessionEnd
from protocol.messages import Bye
from receiver.errors import InvalidStateError, PeerIncompatibleError
from receiver.identity_store import IdentityStore
from receiver.notes import Notes
from receiver.peer_control import PeerControl
from receiver.peer_link import PeerLink
from receiver.presentation import FaceSetup, Presentation
from receiver.session_life import SessionLife
from receiver.session_stats import ReceivingStats, receiving_stats
from receiver.sinks.sink import MediaSink
from receiver.workshop import REAL_WORKSHOP, Workshop
from talkface_core.interfaces import FaceIdentity, FaceModel


class ReceivingSession:
    """Receives one peer: `await start()`, later `await stop()`, in one event loop; or `async with`."""

    def __init__(
        self,
        link: MediaLink,
        clock: Clock,
        model: FaceModel,
        sinks: Sequence[MediaSink],
        *,
        default_identity: FaceIdentity,
        identity_store: IdentityStore | None = None,
        idle_track: NDArray[np.float32] | None = None,
        runtime: str = "auto",
        on_note: Callable[[str], None] = lambda note: None,
        workshop: Workshop = REAL_WORKSHOP,
    ) -> None:
        """Args:
        default_identity: drawn until the peer's own has come, and for peers that send none (a browser).
        identity_store: where identities are kept from call to call; None keeps none.
        idle_track: [T, V] style values that move a face which got no style yet; None for stillness.
        runtime: what draws: "auto", "torch-cpu", "torch-cuda" or "openvino".
        on_note: called with sentences that the user should see.
        workshop: codec, resamplers and threads.
        """
        self.control = PeerControl(model.info, identity_store)
        self._peer = PeerLink(link, on_audio=self._take_packet, on_control=self._take_message)
        self._clock = clock
        self._setup = FaceSetup(model, default_identity, idle_track, runtime)
        self._sinks = sinks
        self._notes = Notes(on_note)
        self._workshop = workshop
        self._life = SessionLife()
        self._presentation: Presentation | None = None
        self._has_started = False
        self._stopped_us: int | None = None

    async def start(self) -> None:
        """Open the sinks, load and warm up the renderer, then listen. Returns when the session is ready.

        Raises:
            SinkUnavailableError: a sink cannot work here.
            talkface_core.errors.RuntimeUnavailableError: the asked-for runtime cannot run here.
            InvalidStateError: it was started before, or stopped before it was ready.
        """
        if self._has_started or self._life.is_over:
            raise InvalidStateError("receiving session: started twice, or after its end")
        self._has_started = True
        presentation = await Presentation.open(self._setup, self._sinks, self._clock, self._notes.add, self._workshop)
        if self._life.is_over:
            await presentation.close()
            raise InvalidStateError("receiving session: stopped before it was ready")
        self._presentation = presentation
        self._life.spawn(presentation.run())
        self._life.spawn(self._peer.send_messages())
        self._peer.listen()

    async def wait_ended(self) -> SessionEnd:
        """Until the far end has hung up (what it sent has been played by then) or `stop` was called.

        Raises:
            PeerIncompatibleError: the far end cannot be understood.
            SessionCrashedError: one of the session's own tasks failed.
        """
        return await self._life.wait()

    async def stop(self) -> None:
        """End the threads, finish the files. Safe to call twice, from any state and after a failed start."""
        if self._stopped_us is not None:
            return
        self._stopped_us = self._clock.now_us()
        self._peer.close()
        self._life.end(EndCause.STOPPED)
        await self._life.cancel_tasks()
        if self._presentation is not None:
            await self._presentation.close()

    async def __aenter__(self) -> ReceivingSession:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def replace_link(self, link: MediaLink) -> None:
        """Go on over a new connection to the same peer; what the old one still delivers is ignored."""
        self._peer.replace(link)
        self.control.identity.expect_new_link()
        if self._presentation is None:
            return  # `start` listens
        self._presentation.pipeline.intake.expect_new_stream()
        self._peer.listen()
        missing = self.control.identity.request_missing()
        if missing is not None:
            self._peer.post(missing)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that the user should see."""
        return tuple(self._notes.sentences)

    def stats(self) -> ReceivingStats:
        """Everything that was counted, up to now or to `stop`.

        Raises:
            InvalidStateError: the session is not ready yet.
        """
        if self._presentation is None:
            raise InvalidStateError("receiving session: not started")
        now_us = self._stopped_us if self._stopped_us is not None else self._clock.now_us()
        return receiving_stats(self._presentation, self.control, self._peer.control_counters, self.notes, now_us)

    def pcm_ready(self) -> list[tuple[int, int, int]]:
        """(16-bit sequence number, 32-bit RTP timestamp, local us) of each packet whose sound became ready."""
        return self._presentation.pipeline.pcm_ready.rows() if self._presentation is not None else []

    # --- what comes ---

    def _take_packet(self, packet: ReceivedPacket) -> None:
        assert self._presentation is not None  # `start` listens after it has made one
        self._presentation.receive(packet)

    def _take_message(self, message: ReceivedMessage) -> None:
        assert self._presentation is not None
        outcome = self.control.handle(message, self._peer.binding)
        for note in outcome.notes:
            self._notes.add(note)
        if outcome.request is not None:
            self._peer.post(outcome.request)
        self._presentation.pipeline.style_receiver.enabled = self.control.style_is_usable
        if outcome.draws_default:
            self._presentation.draw(self._setup.default_identity, self._notes.add)
        if outcome.face is not None:
            self._presentation.draw(outcome.face, self._notes.add)
        if outcome.failure is not None:
            self._life.fail(PeerIncompatibleError(outcome.failure))
        if outcome.bye is not None:
            self._life.spawn(self._drain(outcome.bye, self._presentation.drain_s))

    async def _drain(self, bye: Bye, drain_s: float) -> None:
        """Play what the far end sent before it hung up."""
        await asyncio.sleep(drain_s)
        self._life.end(EndCause.PEER_LEFT, bye.reason)
