"""The receiving session: one peer's packets and messages become its voice and its drawn face.

The event loop decodes sound (a fraction of a millisecond per packet) and hands out; drawing, encoding and devices run
on threads of their own behind bounded queues. The session outlives its connection: `replace_link` goes on with the
same face, identity, clocks and counters over a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.control import ReceivedMessage
from protocol.interfaces import Clock, EndCause, MediaLink, ReceivedPacket, SessionEnd
from protocol.messages import Bye, Message
from receiver.drawing.face_switcher import FaceSwitcher
from receiver.drawing.render_worker import DrawnFrame, RenderWorker
from receiver.errors import InvalidStateError, PeerIncompatibleError
from receiver.identity_store import IdentityStore
from receiver.peer_control import ControlOutcome, PeerControl
from receiver.pipeline import ReceivingPipeline
from receiver.session_life import SessionLife
from receiver.session_stats import ReceivingStats, SinkStats, receiving_stats
from receiver.sinks.audio_device import AudioDeviceSink
from receiver.sinks.sink import MediaSink, SinkFormat, SinkThread
from talkface_core.interfaces import FaceIdentity, FaceModel

T = TypeVar("T")

logger = logging.getLogger(__name__)

MIN_RENDER_MARGIN_US = 60_000
"""Between a frame's sound being ready and the frame being shown: drawing, and a busy machine's scheduling."""
MAX_RENDER_MARGIN_US = 400_000
"""A machine that needs more than 250 ms for a frame shows a face that is behind its sound."""
DRAIN_S = 0.25
"""After a bye, beyond the playout and presentation delay: for packets that the bye overtook."""
MAX_QUEUED_MESSAGES = 64
MAX_IDLE_S = 0.25
STALLED_US = 60_000
"""Behind by this much the process stood still, and packets wait in the socket: they are read before playout goes on."""
SOCKET_TURN_S = 0.005
MAX_NOTES = 32


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
    ) -> None:
        """Args:
        default_identity: drawn until the peer's own has come, and for peers that send none (a browser).
        identity_store: where identities are kept from call to call; None keeps none.
        idle_track: [T, V] style values that move a face which got no style yet; None for stillness.
        runtime: what draws: "auto", "torch-cpu", "torch-cuda" or "openvino".
        on_note: called with sentences that the user should see.
        """
        self.notes: list[str] = []
        self.control = PeerControl(model.info, identity_store)
        self._link = link
        self._clock = clock
        self._model = model
        self._default_identity = default_identity
        self._idle_track = idle_track
        self._on_note = on_note
        self._switcher = FaceSwitcher(model, runtime)
        self._sinks = [SinkThread(sink, on_failure=self._from_thread(self._note)) for sink in sinks]
        self._devices = [t for t, sink in zip(self._sinks, sinks, strict=True) if isinstance(sink, AudioDeviceSink)]
        self._pipeline: ReceivingPipeline | None = None
        self._worker: RenderWorker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._life = SessionLife()
        self._stopped_us: int | None = None

    async def start(self) -> None:
        """Open the sinks, load and warm up the renderer, then listen. Returns when the session is ready.

        Raises:
            SinkUnavailableError: a sink cannot work here.
            talkface_core.errors.RuntimeUnavailableError: the asked-for runtime cannot run here.
        """
        if self._loop is not None or self._stopped_us is not None:
            raise InvalidStateError("receiving session: started twice, or after its end")
        self._loop = asyncio.get_running_loop()
        info = self._model.info
        try:
            for sink in self._sinks:
                await asyncio.to_thread(sink.open, SinkFormat(info.resolution_px, info.frame_rate))
            renderer = await self._switcher.first(self._default_identity)
        except BaseException:
            await self._close_sinks()
            raise
        margin_us = self._switcher.usual_render_us * 3 // 2 + 30_000
        pipeline = ReceivingPipeline(
            self._model,
            render_margin_us=min(MAX_RENDER_MARGIN_US, max(MIN_RENDER_MARGIN_US, margin_us)),
            submit=lambda job: worker.submit(job),
            on_audio=self._play,
            on_frame=self._show,
            on_early_audio=self._play_early,
            idle_track=self._idle_track,
        )
        worker = RenderWorker(
            renderer,
            self._clock,
            show_by_us=pipeline.presenter.show_by_us,
            on_frame=self._from_thread(self._frame_drawn),
        )
        worker.start()
        self._pipeline, self._worker = pipeline, worker
        self._life.spawn(self._run(pipeline))
        self._life.spawn(self._send_messages())
        self._attach(self._link)

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
        self._life.end(EndCause.STOPPED)
        await self._life.cancel_tasks()
        await self._switcher.stop()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)
        await self._close_sinks()
        if self._pipeline is not None:
            self._pipeline.close()

    async def __aenter__(self) -> ReceivingSession:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def replace_link(self, link: MediaLink) -> None:
        """Go on over a new connection to the same peer; what the old one still delivers is ignored."""
        self.control.counted_before += self._link.control_counters
        self._link = link
        if self._pipeline is not None:
            self._pipeline.intake.expect_new_stream()
            self._attach(link)

    def stats(self) -> ReceivingStats:
        """Everything that was counted, up to now or to `stop`.

        Raises:
            InvalidStateError: the session is not ready yet.
        """
        if self._pipeline is None or self._worker is None:
            raise InvalidStateError("receiving session: not started")
        now_us = self._stopped_us if self._stopped_us is not None else self._clock.now_us()
        dropped = [sink.counters for sink in self._sinks]
        sinks = SinkStats(
            dropped_frames=sum(counters.dropped_frames for counters in dropped),
            dropped_audio=sum(counters.dropped_audio for counters in dropped),
        )
        came = self.control.counted_before + self._link.control_counters
        return receiving_stats(self._pipeline, self._worker, self.control, came, sinks, self.notes, now_us)

    def pcm_ready(self) -> list[tuple[int, int, int]]:
        """(16-bit sequence number, 32-bit RTP timestamp, local us) of each packet whose sound became ready."""
        return self._pipeline.pcm_ready.rows() if self._pipeline is not None else []

    # --- link ---

    def _attach(self, link: MediaLink) -> None:
        def on_audio(packet: ReceivedPacket) -> None:
            if link is self._link and self._pipeline is not None and self._stopped_us is None:
                self._pipeline.receive(packet)
                self._wake.set()

        def on_control(message: ReceivedMessage) -> None:
            if link is self._link and self._stopped_us is None:
                self._act(self.control.handle(message))

        link.on_audio(on_audio)
        link.on_control(on_control)
        for message in self.control.on_new_link():
            self._post(message)

    def _act(self, outcome: ControlOutcome) -> None:
        for note in outcome.notes:
            self._note(note)
        for reply in outcome.replies:
            self._post(reply)
        if self._pipeline is not None:
            self._pipeline.style_receiver.enabled = self.control.style_is_usable
        if outcome.identity is not None and self._worker is not None:
            self._switcher.switch(outcome.identity, self._worker.use, self._note)
        if outcome.failure is not None:
            self._life.fail(PeerIncompatibleError(outcome.failure))
        if outcome.bye is not None:
            self._life.spawn(self._drain(outcome.bye))

    def _post(self, message: Message) -> None:
        """Queue a message; refuse_newest. A peer that reads nothing must not cost memory."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            logger.debug("control message dropped: %d wait already", MAX_QUEUED_MESSAGES)

    # --- tasks ---

    async def _run(self, pipeline: ReceivingPipeline) -> None:
        """The pace of the call: sleeps until the next thing is due or a packet or frame came."""
        loop = asyncio.get_running_loop()
        while True:
            if pipeline.behind_us(self._clock.now_us()) > STALLED_US:
                await asyncio.sleep(SOCKET_TURN_S)
            due_us = pipeline.tick(self._clock.now_us)
            wait_s = MAX_IDLE_S if due_us is None else (due_us - self._clock.now_us()) / 1e6
            self._wake.clear()
            timer = loop.call_later(min(MAX_IDLE_S, max(0.0, wait_s)), self._wake.set)
            await self._wake.wait()
            timer.cancel()

    async def _send_messages(self) -> None:
        while True:
            message = await self._outbox.get()
            try:
                await self._link.send_control(message)
            except ConnectionError as error:  # no control channel (a browser), or the link is being replaced
                logger.debug("control message not sent: %s", error)

    async def _drain(self, bye: Bye) -> None:
        """Play what the far end sent before it hung up."""
        if self._pipeline is not None and self._pipeline.clock.is_started:
            delay_ms = self._pipeline.playout.delay.target_ms
            await asyncio.sleep(DRAIN_S + delay_ms / 1000 + self._pipeline.clock.presentation_delay_us / 1e6)
        self._life.end(EndCause.PEER_LEFT, bye.reason)

    # --- out ---

    def _play(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        for sink in self._sinks:
            if sink not in self._devices:
                sink.write_audio(start_samples, pcm)

    def _play_early(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        for sink in self._devices:
            sink.write_audio(start_samples, pcm)

    def _show(self, frame: DrawnFrame) -> None:
        for sink in self._sinks:
            sink.write_frame(frame.index, frame.samples, frame.image)

    def _frame_drawn(self, frame: DrawnFrame) -> None:
        if self._pipeline is not None:
            self._pipeline.frame_drawn(frame)
            self._wake.set()

    def _note(self, note: str) -> None:
        if note not in self.notes and len(self.notes) < MAX_NOTES:
            self.notes.append(note)
            self._on_note(note)

    async def _close_sinks(self) -> None:
        for sink in self._sinks:
            await asyncio.to_thread(sink.close)

    def _from_thread(self, function: Callable[[T], None]) -> Callable[[T], None]:
        """`function`, callable from any thread: it runs in the session's loop, and not after the loop has ended."""

        def call(argument: T) -> None:
            loop = self._loop
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(function, argument)

        return call
