"""Renderers are built beside the loop; the last identity wins; a failure leaves the face as it is."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType
from typing import Any

import numpy as np

from receiver.drawing.face_switcher import FaceSwitcher
from talkface_core.errors import RuntimeUnavailableError


def face(kit: ModuleType, level: float) -> Any:
    return kit.FaceIdentity(z=np.full(8, level, dtype=np.float32))


def test_first_renderer_is_warm_and_timed(kit: ModuleType) -> None:
    switcher = FaceSwitcher(kit.ChartModel(render_s=0.01), "auto", kit.MonotonicClock())
    renderer: Any = asyncio.run(switcher.first(face(kit, 1.0)))
    assert renderer.is_warm
    assert switcher.usual_render_us >= 10_000


def test_last_of_many_identities_wins(kit: ModuleType) -> None:
    async def run() -> tuple[list[Any], Any]:
        model = kit.ChartModel()
        gate = threading.Event()
        build = model.renderer
        model.renderer = lambda identity, runtime: (gate.wait(10), build(identity, runtime=runtime))[1]
        switcher, used = FaceSwitcher(model, "auto", kit.MonotonicClock()), []
        for level in (1.0, 2.0, 3.0):
            switcher.switch(face(kit, level), used.append, print)
        await asyncio.sleep(0)
        gate.set()
        while not used:
            await asyncio.sleep(0.001)
        await switcher.stop()
        return used, model

    used, model = asyncio.run(run())
    assert [renderer._level for renderer in used] == [3]
    assert len(model.renderers) <= 2


def test_failure_is_told_and_the_next_identity_works(kit: ModuleType) -> None:
    async def run() -> tuple[list[Any], list[str]]:
        model = kit.ChartModel()
        build, failures, used = model.renderer, [], []

        def renderer(identity: Any, runtime: str) -> Any:
            if identity.z[0] == 1.0:
                raise RuntimeUnavailableError("no such runtime")
            return build(identity, runtime=runtime)

        model.renderer = renderer
        switcher = FaceSwitcher(model, "auto", kit.MonotonicClock())
        switcher.switch(face(kit, 1.0), used.append, failures.append)
        while not failures:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        switcher.switch(face(kit, 2.0), used.append, failures.append)
        while not used:
            await asyncio.sleep(0.001)
        await switcher.stop()
        return used, failures

    used, failures = asyncio.run(run())
    assert len(used) == 1
    assert failures == ["the far end's face could not be prepared: no such runtime"]
