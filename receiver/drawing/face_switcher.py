"""Makes renderers beside the event loop: compiled, warmed up, exchanged when an identity arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from protocol.interfaces import Clock
from talkface_core.errors import CoreError
from talkface_core.interfaces import FaceIdentity, FaceModel, FaceRenderer


class FaceSwitcher:
    """Builds one renderer at a time; of several identities that arrive meanwhile the last one is shown, and only it."""

    def __init__(self, model: FaceModel, runtime: str, clock: Clock) -> None:
        self.usual_render_us = 0
        """Time of one frame of the first renderer, measured after warm-up; 0 before."""
        self._model = model
        self._runtime = runtime
        self._clock = clock
        self._next: FaceIdentity | None = None
        self._task: asyncio.Task[None] | None = None

    async def first(self, identity: FaceIdentity) -> FaceRenderer:
        """A renderer, warmed up and timed.

        Raises:
            talkface_core.errors.RuntimeUnavailableError: the asked-for runtime cannot run here.
        """
        renderer = await asyncio.to_thread(self._build, identity)
        self.usual_render_us = await asyncio.to_thread(self._time, renderer)
        return renderer

    def switch(
        self, identity: FaceIdentity, use: Callable[[FaceRenderer], None], on_failure: Callable[[str], None]
    ) -> None:
        """Build a renderer for this identity in the background, then hand it to `use`.

        While a build is under way this one comes after it, with the functions that the first was given.
        """
        self._next = identity
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._switch(use, on_failure))

    async def stop(self) -> None:
        """Hand nothing out any more. A build that is under way ends in its thread, without being waited for."""
        self._next = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _switch(self, use: Callable[[FaceRenderer], None], on_failure: Callable[[str], None]) -> None:
        while (identity := self._next) is not None:
            self._next = None
            try:
                renderer = await asyncio.to_thread(self._build, identity)
            except (CoreError, ValueError, RuntimeError) as error:
                on_failure(f"the far end's face could not be prepared: {error}")
                continue
            if self._next is None:
                use(renderer)

    def _build(self, identity: FaceIdentity) -> FaceRenderer:
        renderer = self._model.renderer(identity, runtime=self._runtime)
        renderer.warm_up()
        return renderer

    def _time(self, renderer: FaceRenderer) -> int:
        info = self._model.info
        silence = np.zeros(info.audio_past_samples + info.audio_lookahead_samples, dtype=np.float32)
        times_us = []
        for _ in range(3):
            started_us = self._clock.now_us()
            renderer.render(silence, None)
            times_us.append(self._clock.now_us() - started_us)
        return sorted(times_us)[1]
