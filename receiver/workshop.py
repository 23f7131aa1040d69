"""What a receiving session works with beside its own decisions: codec and resamplers, threads that draw and write.

The defaults are the real ones. A simulation hands in others that run in its own time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from receiver.drawing.render_queue import RenderQueue
from receiver.drawing.render_worker import FrameWorker, RenderWorker
from receiver.playout.sound_tools import REAL_TOOLS, SoundTools
from receiver.sinks.sink import MediaSink, SinkRunner, SinkThread


@dataclass(frozen=True, slots=True)
class Workshop:
    """How to make each of them."""

    sound: SoundTools = REAL_TOOLS
    frame_worker: Callable[[RenderQueue], FrameWorker] = RenderWorker
    sink_runner: Callable[[MediaSink, Callable[[str], None]], SinkRunner] = SinkThread
    """Of a sink and what is to be called, on any thread, with the reason when it gives up."""


REAL_WORKSHOP = Workshop()
