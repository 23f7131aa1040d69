"""The render thread: order, drops, failures, end."""

from __future__ import annotations

import threading
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.frame_scheduler import FrameJob
from receiver.drawing.render_queue import QUEUE_FRAMES, RenderQueue
from receiver.drawing.render_worker import RenderWorker
from receiver.errors import InvalidStateError


class Renderer:
    """Draws when it is let; fails when it is told to."""

    runtime = "test"

    def __init__(self, frames_at_once: int = 1) -> None:
        self.frames_at_once = frames_at_once
        self.gate = threading.Event()
        self.gate.set()
        self.is_failing = False

    def warm_up(self) -> None:
        pass

    def render(self, audio: Any, style: Any) -> Any:
        assert self.gate.wait(10)
        if self.is_failing:
            raise RuntimeError("the model broke")
        return np.zeros((2, 2, 3), dtype=np.uint8)


def job(index: int) -> FrameJob:
    return FrameJob(index, index * 1_920, np.zeros(4, dtype=np.float32), None)


class Bench:
    def __init__(self, kit: ModuleType, renderer: Renderer) -> None:
        self.clock = kit.FakeClock(0)
        self.renderer = renderer
        self.show_by_us = 1_000_000
        self.frames: list[DrawnFrame] = []
        self.queue = RenderQueue(
            self.renderer, self.clock, show_by_us=lambda samples: self.show_by_us, on_frame=self.frames.append
        )
        self.worker = RenderWorker(self.queue)

    def wait_for(self, done: Any) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def bench(kit: ModuleType) -> Any:
    bench = Bench(kit, Renderer())
    yield bench
    bench.renderer.gate.set()
    bench.worker.stop()


def test_frames_come_back_in_order(bench: Bench) -> None:
    bench.worker.start()
    for index in range(5):
        bench.worker.submit(job(index))
    bench.wait_for(lambda: len(bench.frames) == 5)
    assert [frame.index for frame in bench.frames] == list(range(5))
    assert bench.queue.render_ms.count == bench.queue.counters.drawn == 5


def test_full_queue_drops_the_oldest(bench: Bench) -> None:
    for index in range(QUEUE_FRAMES + 3):
        bench.worker.submit(job(index))
    bench.worker.start()
    bench.wait_for(lambda: len(bench.frames) == QUEUE_FRAMES)
    assert bench.frames[0].index == 3
    assert bench.queue.counters.dropped == 3


def test_frame_that_nobody_can_show_is_not_drawn(bench: Bench) -> None:
    bench.show_by_us = -1
    bench.worker.start()
    bench.worker.submit(job(0))
    bench.wait_for(lambda: bench.queue.counters.overdue == 1)
    bench.show_by_us = 1_000_000
    bench.worker.submit(job(1))
    bench.wait_for(lambda: bench.frames)
    assert [frame.index for frame in bench.frames] == [1]


def test_starving_face_gets_the_newest_frame_although_it_is_late(bench: Bench) -> None:
    bench.clock.time_us = 2_000_000
    for index in range(4):
        bench.worker.submit(job(index))
    bench.worker.start()
    bench.wait_for(lambda: bench.frames)
    assert [frame.index for frame in bench.frames] == [3]
    assert bench.queue.counters.overdue == 3


def test_failing_model_costs_frames_not_the_call(bench: Bench) -> None:
    bench.worker.start()
    bench.renderer.is_failing = True
    bench.worker.submit(job(0))
    bench.wait_for(lambda: bench.queue.counters.failed == 1)
    bench.renderer.is_failing = False
    bench.worker.submit(job(1))
    bench.wait_for(lambda: bench.frames)


def test_another_renderer_draws_the_next_frame(bench: Bench) -> None:
    other = Renderer()
    other.runtime = "other"
    bench.worker.start()
    bench.queue.use(other)
    other.is_failing = True
    bench.worker.submit(job(0))
    bench.wait_for(lambda: bench.queue.counters.failed == 1)
    assert bench.queue.renderer.runtime == "other"


def test_stop_ends_the_thread_and_may_be_repeated(bench: Bench) -> None:
    bench.worker.start()
    with pytest.raises(InvalidStateError, match="twice"):
        bench.worker.start()
    bench.worker.stop()
    bench.worker.stop()
    bench.worker.submit(job(0))
    assert bench.frames == []


class SlowFirst(Renderer):
    """Two frames at once; the frame whose sound is zero waits until another has been drawn."""

    def __init__(self) -> None:
        super().__init__(frames_at_once=2)
        self.num_drawing = self.most_at_once = 0
        self.is_other_drawn = threading.Event()

    def render(self, audio: Any, style: Any) -> Any:
        self.num_drawing += 1
        self.most_at_once = max(self.most_at_once, self.num_drawing)
        if not audio[0]:
            assert self.is_other_drawn.wait(10)
        image = super().render(audio, style)
        self.num_drawing -= 1
        self.is_other_drawn.set()
        return image


@pytest.mark.parametrize("is_failing", [False, True])
def test_frames_drawn_side_by_side_come_back_in_order(kit: ModuleType, is_failing: bool) -> None:
    renderer = SlowFirst()
    renderer.is_failing = is_failing
    bench = Bench(kit, renderer)
    for index in range(4):
        bench.worker.submit(FrameJob(index, index, np.full(4, index, dtype=np.float32), None))
    bench.worker.start()
    if is_failing:  # a failed frame must not hold the next ones back
        renderer.is_other_drawn.set()
        bench.wait_for(lambda: bench.queue.counters.failed == 4)
        renderer.is_failing = False
        bench.worker.submit(job(4))
        bench.wait_for(lambda: bench.frames)
    else:
        bench.wait_for(lambda: len(bench.frames) == 4)
        assert renderer.most_at_once == 2
    bench.worker.stop()
    assert [frame.index for frame in bench.frames] == ([4] if is_failing else [0, 1, 2, 3])
