"""All stages together in simulated time: frames for every slot, in sync with the sound, with the right style."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.frame_scheduler import FrameJob
from receiver.pipeline import ReceivingPipeline
from receiver.sinks.audio_device import LEAD_US
from talkface_core.face.model import load_face_model

RENDER_US = 25_000
MARGIN_US = 60_000


class PipelineBench:
    """A pipeline with a renderer that takes simulated time, run tick by tick."""

    def __init__(self, kit: ModuleType, render_us: int = RENDER_US, idle_track: Any = None, model: Any = None) -> None:
        self.kit = kit
        self.clock = kit.FakeClock()
        model = model or kit.ChartModel()
        z = np.full(model.info.latent_dim, 50 if model.info.name == "chart" else 0, np.float32)
        self.renderer = model.renderer(kit.FaceIdentity(z=z), runtime="torch-cpu")
        self.render_us = render_us
        self.jobs: list[FrameJob] = []
        self.finished: list[tuple[int, DrawnFrame]] = []
        self.frames: list[tuple[int, DrawnFrame]] = []
        self.early: list[tuple[int, int]] = []
        self.audio: list[tuple[int, int, NDArray[np.int16]]] = []
        self._renderer_free_us = 0
        self.pipeline = ReceivingPipeline(
            model,
            render_margin_us=MARGIN_US,
            submit=self._submit,
            outlet=self,
            idle_track=idle_track,
        )

    def play_early(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        self.early.append((self.clock.time_us, start_samples))

    def play(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        self.audio.append((self.clock.time_us, start_samples, pcm))

    def show(self, frame: DrawnFrame) -> None:
        self.frames.append((self.clock.time_us, frame))

    def _submit(self, job: FrameJob) -> None:
        self.jobs.append(job)
        started_us = max(self.clock.time_us, self._renderer_free_us)
        if started_us + self.render_us > self.pipeline.presenter.show_by_us(job.samples):
            return  # as the render worker does
        self._renderer_free_us = started_us + self.render_us
        image = self.renderer.render(job.audio, job.style)
        self.finished.append((self._renderer_free_us, DrawnFrame(job.index, job.samples, image)))

    def run(self, arrivals: list[Any], until_us: int | None = None) -> None:
        end_us = until_us or arrivals[-1].at_us + 200_000
        index = 0
        while self.clock.time_us < end_us:
            self.clock.time_us += 2_000
            while index < len(arrivals) and arrivals[index].at_us <= self.clock.time_us:
                self.pipeline.receive(arrivals[index].packet)
                index += 1
            while self.finished and self.finished[0][0] <= self.clock.time_us:
                self.pipeline.frame_drawn(self.finished.pop(0)[1])
            self.pipeline.tick(self.clock.now_us)

    def expected(self) -> int:
        return self.pipeline.frames_expected(self.clock.time_us)


@pytest.fixture
def make_bench(kit: ModuleType) -> Callable[..., PipelineBench]:
    return lambda **options: PipelineBench(kit, **options)


def wave_style(kit: ModuleType) -> Callable[[int], bytes]:
    """First style value: a slow wave, stamped at the end of the packet that carries it."""
    return lambda index: kit.style_payload(np.full(16, np.sin((index + 1) / 8), dtype=np.float32)) if index % 2 else b""


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2])
def test_every_frame_is_shown_in_sync(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes], loss: float
) -> None:
    bench = make_bench()
    rng = random.Random(1)
    stream = kit.Stream(speech_packets, style=wave_style(kit), has_redundancy=True)
    bench.run(stream.arrivals(150, lost=lambda index: index > 0 and rng.random() < loss))
    assert len(bench.frames) >= 0.99 * bench.expected() > 200
    assert bench.pipeline.presenter.skew_ms.percentiles(0.95)[0] <= 10
    indices = [frame.index for _, frame in bench.frames]
    assert indices == sorted(set(indices))
    starts = [start for _, start, _ in bench.audio]
    ends = [start + pcm.shape[0] for _, start, pcm in bench.audio]
    assert starts == [0, *ends[:-1]]
    leaves_us = {start: at_us for at_us, start, _ in bench.audio}
    leads = [leaves_us[start] - at_us for at_us, start in bench.early if start in leaves_us]
    assert all(abs(lead - LEAD_US) <= 2_000 for lead in leads[10:]), "a loudspeaker is ahead by its cushion"


def test_frame_shows_the_style_of_its_own_sound(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    bench = make_bench()
    bench.run(kit.Stream(speech_packets, style=wave_style(kit)).arrivals(100))
    for job in bench.jobs[20:120]:
        assert job.style is not None
        assert job.style[0] == pytest.approx(np.sin(job.samples / 2_880 / 8), abs=0.05)


def test_frame_sees_the_sound_that_is_heard_with_it(kit: ModuleType, make_bench: Callable[..., PipelineBench]) -> None:
    """Bursts of tone: the loudness in the model's window follows the sound that leaves."""
    t = np.arange(5 * 48_000) / 48_000
    tone = (12_000 * np.sin(2 * np.pi * 300 * t) * ((t % 1.0) < 0.3)).astype(np.int16)
    bench = make_bench()
    bench.run(kit.Stream(kit.encode(tone, bitrate_bps=24_000)).arrivals(80))
    heard = np.concatenate([pcm for _, _, pcm in bench.audio]).astype(np.float64)
    for job in bench.jobs[10:100]:
        at = slice(job.samples, job.samples + 480)
        loud = np.sqrt(np.mean(heard[at] ** 2))
        seen = np.sqrt(np.mean((job.audio[2_560 : 2_560 + 160] * 32_768.0) ** 2))
        assert seen == pytest.approx(loud, rel=0.05, abs=60)


def test_outage_shows_an_idle_face_and_comes_back(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    bench = make_bench()
    stream = kit.Stream(speech_packets, style=wave_style(kit))
    bench.run(stream.arrivals(250, lost=lambda index: 100 <= index < 200))
    assert len(bench.frames) >= 0.99 * bench.expected()
    idle = [job.style for job in bench.jobs[190:290]]
    assert all(style is not None for style in idle)
    assert np.std([style[0] for style in idle if style is not None]) > 0.05
    quiet = [np.abs(job.audio).max() for job in bench.jobs[230:290]]
    assert max(quiet) < 0.05
    assert bench.pipeline.playout.stalls.longest_ms == pytest.approx(6_000 - 120, abs=100)
    last = bench.jobs[-20]
    assert np.abs(last.audio).max() > 0.05


def test_too_slow_a_model_loses_frames_not_sync(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    bench = make_bench(render_us=48_000)  # 21 frames/s
    bench.run(kit.Stream(speech_packets).arrivals(60))
    assert 0.6 * bench.expected() < len(bench.frames) < 0.95 * bench.expected()
    for at_us, frame in bench.frames:
        assert abs(frame.samples - bench.pipeline.clock.position(at_us)) / 48 <= 42


def test_browser_without_style_drives_a_face(kit: ModuleType, make_bench: Callable[..., PipelineBench]) -> None:
    """20 ms packets, no style, no redundancy: frames with d = 0, moved by the sound alone."""
    packets = kit.encode(kit.make_speech(4.0), packet_ms=20, bitrate_bps=32_000)
    bench = make_bench()
    bench.run(kit.Stream(packets, packet_ms=20).arrivals(200))
    assert len(bench.frames) >= 0.99 * bench.expected() > 80
    assert all(job.style is None for job in bench.jobs)


def test_new_link_keeps_the_timeline(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    bench = make_bench()
    first = kit.Stream(speech_packets, style=wave_style(kit))
    bench.run(first.arrivals(50), until_us=kit.START_US + 5_000_000)
    bench.pipeline.intake.expect_new_stream()
    second = kit.Stream(speech_packets, first_sequence=7, first_timestamp=99, ssrc=5, style=wave_style(kit))
    arrivals = second.arrivals(50)
    for arrival in arrivals:
        arrival.at_us += 4_500_000
        arrival.packet = replace(arrival.packet, arrival_time_us=arrival.at_us)
    bench.run(arrivals)
    assert len(bench.frames) >= 0.99 * bench.expected() > 180
    assert bench.pipeline.intake.counters.restarts == 1
    assert bench.pipeline.playout.delay_ms == pytest.approx(40, abs=1)
    assert bench.pipeline.style_receiver.counters.decoded >= 45


def test_ready_times_are_logged_once_per_packet(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    bench = make_bench()
    stream = kit.Stream(speech_packets, has_redundancy=True)
    bench.run(stream.arrivals(100, lost=lambda index: index % 9 == 5))
    rows = bench.pipeline.pcm_ready.rows()
    expected = {(stream.first_sequence + index) & 0xFFFF for index in range(100) if index % 9 != 5}
    assert {sequence for sequence, _, _ in rows} == expected
    assert len(rows) == len(expected)


def test_nothing_happens_before_the_first_packet(make_bench: Callable[..., PipelineBench]) -> None:
    bench = make_bench()
    assert bench.pipeline.tick(bench.clock.now_us) is None
    assert bench.expected() == 0
    bench.pipeline.close()


def test_real_model_draws_a_whole_call(
    kit: ModuleType, make_bench: Callable[..., PipelineBench], speech_packets: list[bytes]
) -> None:
    """The tiny face model and the real style codec, with loss: the path that a shipped face takes."""
    model = load_face_model("tiny")
    encoder = model.payload_encoder()
    waves = [np.sin(index / 8 + np.arange(16)).astype(np.float32) for index in range(60)]
    payloads = [encoder.encode(wave, refresh=index % 17 == 0, with_lips=True) for index, wave in enumerate(waves)]
    bench = make_bench(model=model)
    stream = kit.Stream(speech_packets, style=lambda index: payloads[index])
    bench.run(stream.arrivals(60, lost=lambda index: index in (20, 21)))
    assert len(bench.frames) >= 0.99 * bench.expected() > 85
    assert bench.pipeline.style_receiver.counters.decoded >= 50
    for job in bench.jobs[5:28]:
        assert job.style is not None
        position = job.samples / 2_880
        expected = np.sin((position - 1) / 8 + np.arange(16))
        assert np.abs(job.style - expected).max() < 0.5
    pictures = np.stack([frame.image for _, frame in bench.frames])
    assert pictures.shape[1:] == (64, 64, 3)
    assert pictures.std(axis=0).max() > 1.0
