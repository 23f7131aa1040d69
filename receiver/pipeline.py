"""The receiving path as one object without threads, sockets or sleep: packets in, sound and frames out at their time.

    ReceivedPacket -> PacketIntake -> AudioPlayout -> AudioWindow -> FrameScheduler -> (renderer) -> FramePresenter
                                          |              ^ 16 kHz        ^ style
                                          └> StyleReceiver -> StyleConcealment
                                          └> sound, held until it leaves

`receiver.session` gives it a link, a render thread and sinks; tests drive it with a clock that they set.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.interfaces import ReceivedPacket
from receiver.drawing.audio_window import AudioWindow
from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.frame_presenter import FramePresenter
from receiver.drawing.frame_scheduler import FrameJob, FrameScheduler
from receiver.drawing.idle_motion import IdleMotion
from receiver.drawing.style_concealment import StyleConcealment
from receiver.drawing.style_receiver import StyleReceiver
from receiver.media_packet import MediaPacket, PacketIntake
from receiver.playout.audio_playout import AudioPlayout, ChunkKind, PlayoutChunk
from receiver.playout.held_sound import HeldSound, SoundOutlet
from receiver.playout.jitter_buffer import AddResult
from receiver.playout.media_clock import MediaClock
from receiver.playout.sample_store import PcmReadyLog
from receiver.playout.sound_tools import REAL_TOOLS, SoundTools
from receiver.sinks.audio_device import LEAD_US
from talkface_core.interfaces import FaceModel


class Outlet(SoundOutlet, Protocol):
    """Where sound and frames leave the pipeline."""

    def show(self, frame: DrawnFrame) -> None:
        """A frame, when it is to be seen."""
        ...


class ReceivingPipeline:
    """One call's stages. Every method takes the local time; none blocks."""

    def __init__(
        self,
        model: FaceModel,
        *,
        render_margin_us: int,
        submit: Callable[[FrameJob], None],
        outlet: Outlet,
        idle_track: NDArray[np.float32] | None = None,
        tools: SoundTools = REAL_TOOLS,
    ) -> None:
        """Args:
        render_margin_us: time between a frame's sound being decoded and the frame being shown, for drawing.
        submit: takes the frames to be drawn; the drawn ones come back through `frame_drawn`.
        outlet: takes sound and frames when their time has come.
        idle_track: [T, V] style values for a face that got no style, or None.
        tools: codec and resamplers.
        """
        info = model.info
        window = AudioWindow(
            sample_rate_hz=info.sample_rate_hz,
            past_samples=info.audio_past_samples,
            lookahead_samples=info.audio_lookahead_samples,
            make_resampler=tools.window_resampler,
        )
        self.clock = MediaClock(presentation_delay_us=window.lookahead_us + render_margin_us)
        self.intake = PacketIntake()
        self.playout = AudioPlayout(self.clock, tools)
        self.style_receiver = StyleReceiver(model.payload_decoder())
        self.styles = StyleConcealment(IdleMotion(idle_track))
        self.scheduler = FrameScheduler(info.frame_rate, window, self.styles, self.playout.timeline.tick_map)
        self.presenter = FramePresenter(self.clock, float(Fraction(1_000_000) / info.frame_rate))
        self.pcm_ready = PcmReadyLog()
        self._window = window
        self._submit = submit
        self._outlet = outlet
        self._sound = HeldSound(self.clock, outlet, lead_us=LEAD_US)

    def receive(self, packet: ReceivedPacket) -> None:
        """One RTP packet, whatever it holds."""
        media = self.intake.accept(packet)
        if media is None:
            return
        if media.is_restart:
            self.styles.restart()
        if self.playout.add(media) is AddResult.LATE:
            self._take_style(media)  # too late to be heard, in time to be seen

    def frame_drawn(self, frame: DrawnFrame) -> None:
        """A frame came back from the renderer."""
        self.presenter.add(frame)

    def tick(self, now_us: Callable[[], int]) -> int | None:
        """Do everything that is due.

        Args:
            now_us: the clock's own method, so that "sound is ready" is stamped after decoding.

        Returns:
            Local time of the next thing to do; None before the first packet.
        """
        for chunk in self.playout.advance(now_us()):
            self._take_chunk(chunk, now_us)
        for job in self.scheduler.take_jobs():
            self._submit(job)
        self._release(now_us())
        return self._next_due_us()

    def behind_us(self, now_us: int) -> int:
        """How late playout is: by how much its next piece is overdue."""
        due_us = self.playout.next_due_us
        return 0 if due_us is None else max(0, now_us - due_us)

    def close(self) -> None:
        """Free the decoder."""
        self.playout.close()

    def frames_expected(self, now_us: int) -> int:
        """Frames whose time to be shown has passed; the last one has half a frame time of grace."""
        if not self.clock.is_started:
            return 0
        grace = float(self.scheduler.ticks_per_frame) / 2
        passed = self.scheduler.frames_before(self.clock.position(now_us) - grace)
        return max(passed, self.presenter.num_slots)

    def _take_chunk(self, chunk: PlayoutChunk, now_us: Callable[[], int]) -> None:
        packet = chunk.packet
        if packet is not None:
            if chunk.kind is ChunkKind.RECEIVED or packet.is_empty:
                self.pcm_ready.add(packet.sequence_number, packet.rtp_timestamp, now_us())
            self._take_style(packet)
        self._window.push(chunk.pcm)
        self._sound.add(chunk)

    def _take_style(self, packet: MediaPacket) -> None:
        style = self.style_receiver.consume(packet)
        if style is not None:
            self.styles.add(style)

    def _release(self, now_us: int) -> None:
        """Hand out the sound and the frame whose time has come, sound first: it is the master."""
        self._sound.release(now_us)
        frame = self.presenter.take(now_us)
        if frame is not None:
            self._outlet.show(frame)

    def _next_due_us(self) -> int | None:
        times = (self.playout.next_due_us, self.presenter.next_due_us, self._sound.next_due_us)
        return min((time for time in times if time is not None), default=None)
