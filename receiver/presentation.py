"""One peer live: its packets become sound and frames at the outputs, at the pace of the pipeline.

packets ──> pipeline ──jobs──> render threads ──frames──> pipeline ──> outputs
              ^ `run` wakes it when something is due, a packet came or a frame was drawn
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.interfaces import Clock, ReceivedPacket
from receiver.drawing.face_switcher import FaceSwitcher
from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.render_queue import RenderQueue
from receiver.in_loop import in_loop
from receiver.pipeline import ReceivingPipeline
from receiver.sinks.outputs import Outputs
from receiver.sinks.sink import MediaSink, SinkFormat
from receiver.workshop import REAL_WORKSHOP, Workshop
from talkface_core.interfaces import FaceIdentity, FaceModel, FaceRenderer

MIN_RENDER_MARGIN_US = 60_000
"""Between a frame's sound being ready and the frame being shown: drawing, and a busy machine's scheduling."""
MAX_RENDER_MARGIN_US = 400_000
"""A machine that needs more than 250 ms for a frame shows a face that is behind its sound."""
DRAIN_S = 0.25
"""After a bye, beyond the playout and presentation delay: for packets that the bye overtook."""
MAX_IDLE_S = 0.25
STALLED_US = 60_000
"""Behind by this much the process stood still, and packets wait in the socket: they are read before playout goes on."""
SOCKET_TURN_S = 0.005


@dataclass(frozen=True, slots=True)
class FaceSetup:
    """What draws, and which face it draws at first."""

    model: FaceModel
    default_identity: FaceIdentity
    idle_track: NDArray[np.float32] | None
    """[T, V] style values that move a face which got no style yet; None for stillness."""
    runtime: str
    """"auto", "torch-cpu", "torch-cuda" or "openvino"."""


class Presentation:
    """What a receiving session shows and plays; made by `open`, ended by `close`."""

    def __init__(
        self,
        setup: FaceSetup,
        renderer: FaceRenderer,
        switcher: FaceSwitcher,
        outputs: Outputs,
        clock: Clock,
        workshop: Workshop,
    ) -> None:
        """Use `open`."""
        self.outputs = outputs
        margin_us = switcher.usual_render_us * 3 // 2 + 30_000
        self.pipeline = ReceivingPipeline(
            setup.model,
            render_margin_us=min(MAX_RENDER_MARGIN_US, max(MIN_RENDER_MARGIN_US, margin_us)),
            submit=lambda job: self._worker.submit(job),
            outlet=outputs,
            idle_track=setup.idle_track,
            tools=workshop.sound,
        )
        self.frames = RenderQueue(
            renderer,
            clock,
            show_by_us=self.pipeline.presenter.show_by_us,
            on_frame=in_loop(self._frame_drawn),
        )
        self._worker = workshop.frame_worker(self.frames)
        self._switcher = switcher
        self._clock = clock
        self._wake = asyncio.Event()

    @classmethod
    async def open(
        cls,
        setup: FaceSetup,
        sinks: Sequence[MediaSink],
        clock: Clock,
        on_note: Callable[[str], None],
        workshop: Workshop = REAL_WORKSHOP,
    ) -> Presentation:
        """Open the sinks, load and warm up the renderer, start the render threads.

        Args:
            on_note: called in this event loop when a sink gives up in the middle of the call.

        Raises:
            SinkUnavailableError: a sink cannot work here.
            talkface_core.errors.RuntimeUnavailableError: the asked-for runtime cannot run here.
            talkface_core.sound.libopus.OpusUnavailableError: there is no libopus.
        """
        info = setup.model.info
        outputs = await Outputs.open(
            sinks,
            SinkFormat(info.resolution_px, info.frame_rate),
            on_failure=on_note,
            make_runner=workshop.sink_runner,
        )
        try:
            switcher = FaceSwitcher(setup.model, setup.runtime, clock)
            renderer = await switcher.first(setup.default_identity)
            presentation = cls(setup, renderer, switcher, outputs, clock, workshop)
        except BaseException:
            await outputs.close()
            raise
        presentation._worker.start()
        return presentation

    @property
    def drain_s(self) -> float:
        """How long from now until everything that the far end has sent is played and shown."""
        if not self.pipeline.clock.is_started:
            return 0.0
        delay_s = self.pipeline.playout.delay.target_ms / 1000
        return DRAIN_S + delay_s + self.pipeline.clock.presentation_delay_us / 1e6

    def receive(self, packet: ReceivedPacket) -> None:
        """One RTP packet, whatever it holds."""
        self.pipeline.receive(packet)
        self._wake.set()

    def draw(self, face: FaceIdentity, on_failure: Callable[[str], None]) -> None:
        """Prepare another face beside the call and draw it when it is ready."""
        self._switcher.switch(face, self.frames.use, on_failure)

    async def run(self) -> None:
        """The pace of the call: sleeps until the next thing is due or a packet or frame came; until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if self.pipeline.behind_us(self._clock.now_us()) > STALLED_US:
                await asyncio.sleep(SOCKET_TURN_S)
            due_us = self.pipeline.tick(self._clock.now_us)
            wait_s = MAX_IDLE_S if due_us is None else (due_us - self._clock.now_us()) / 1e6
            self._wake.clear()
            timer = loop.call_later(min(MAX_IDLE_S, max(0.0, wait_s)), self._wake.set)
            await self._wake.wait()
            timer.cancel()

    async def close(self) -> None:
        """End the threads and finish the sinks; `run` must have ended."""
        await self._switcher.stop()
        await asyncio.to_thread(self._worker.stop)
        await self.outputs.close()
        self.pipeline.close()

    def _frame_drawn(self, frame: DrawnFrame) -> None:
        self.pipeline.frame_drawn(frame)
        self._wake.set()
