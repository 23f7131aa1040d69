"""All sinks of a call as one: opened together, given the same sound and frames, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from receiver.drawing.frame_order import DrawnFrame
from receiver.in_loop import in_loop
from receiver.sinks.audio_device import AudioDeviceSink
from receiver.sinks.sink import MediaSink, SinkCounters, SinkFormat, SinkRunner, SinkThread


class Outputs:
    """Open sinks; a loudspeaker among them gets its sound early (`LEAD_US`), the others when it leaves."""

    def __init__(self, devices: list[SinkRunner], others: list[SinkRunner]) -> None:
        """Use `open`."""
        self._devices = devices
        self._others = others

    @classmethod
    async def open(
        cls,
        sinks: Sequence[MediaSink],
        media_format: SinkFormat,
        *,
        on_failure: Callable[[str], None],
        make_runner: Callable[[MediaSink, Callable[[str], None]], SinkRunner] = SinkThread,
    ) -> Outputs:
        """Open every sink on its thread.

        Args:
            on_failure: called in this event loop with the reason when a sink gives up in the middle of the call.
            make_runner: makes what feeds a sink; a thread for each by default.

        Raises:
            SinkUnavailableError: one cannot work here; none stays open.
        """
        devices: list[SinkRunner] = []
        others: list[SinkRunner] = []
        outputs = cls(devices, others)
        try:
            for sink in sinks:
                runner = make_runner(sink, in_loop(on_failure))
                (devices if isinstance(sink, AudioDeviceSink) else others).append(runner)
                await asyncio.to_thread(runner.open, media_format)
        except BaseException:
            await outputs.close()
            raise
        return outputs

    @property
    def counters(self) -> SinkCounters:
        """Of all sinks together."""
        counters = [runner.counters for runner in self._runners]
        return SinkCounters(
            dropped_frames=sum(one.dropped_frames for one in counters),
            dropped_audio=sum(one.dropped_audio for one in counters),
        )

    def play_early(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """[n] int16 that leaves `LEAD_US` from now."""
        for device in self._devices:
            device.write_audio(start_samples, pcm)

    def play(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """[n] int16 that leaves now."""
        for other in self._others:
            other.write_audio(start_samples, pcm)

    def show(self, frame: DrawnFrame) -> None:
        """A frame to be seen now."""
        for runner in self._runners:
            runner.write_frame(frame.index, frame.samples, frame.image)

    async def close(self) -> None:
        """Write what is queued and finish every sink; waits for them."""
        for runner in self._runners:
            await asyncio.to_thread(runner.close)

    @property
    def _runners(self) -> list[SinkRunner]:
        return self._devices + self._others
