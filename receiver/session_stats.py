"""What the receiving session counted. `dataclasses.asdict` of it is the receiving half of a call's record and report.

A value that does not exist yet (no frame was drawn, no packet came) is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.control import ControlCounters
from protocol.rtp_time import TICKS_PER_MS
from receiver.drawing.frame_presenter import FramePresenter
from receiver.drawing.render_queue import RenderQueue
from receiver.peer_control import PeerControl
from receiver.pipeline import ReceivingPipeline
from receiver.presentation import Presentation


@dataclass(frozen=True, slots=True)
class AudioStats:
    packets_received: int
    """Without duplicates."""
    lost: int
    late: int
    """Came after all of their time had been played."""
    duplicates: int
    repaired: int
    """Played from the redundancy of the packet after them."""
    concealed_ms: float
    comfort_noise_ms: float
    outage_ms: float
    """Noise after concealment had ended."""
    longest_stall_ms: float
    longest_sound_stall_ms: float
    longest_picture_stall_ms: float
    playout_delay_ms: float | None
    target_delay_ms: float
    clock_skew_ppm: float
    resyncs: int
    skipped_ms: float
    malformed: int
    stray: int
    """Dropped because they did not belong to the stream."""
    undecodable: int


@dataclass(frozen=True, slots=True)
class RenderTimes:
    """Milliseconds per frame drawn."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class VideoStats:
    frames_expected: int
    frames_shown: int
    fps: float
    render_ms: RenderTimes
    frames_drawn: int
    dropped: int
    """Pushed out of the full queue."""
    overdue: int
    """Passed over because they could not have been ready in time."""
    too_late: int
    superseded: int
    failed: int
    without_received_style: int
    first_shown_us: int | None
    """When the first frame was shown, on the receiver's clock."""


@dataclass(frozen=True, slots=True)
class SkewStats:
    """Absolute distance of picture and sound, in milliseconds."""

    p50: float | None
    p95: float | None
    max: float


@dataclass(frozen=True, slots=True)
class StyleStats:
    decoded: int
    malformed: int
    waiting: int
    """Could not be used because an earlier one was lost."""
    bad_blocks: int


@dataclass(frozen=True, slots=True)
class ControlStats:
    received: int
    malformed: int
    flooded: int
    refused_identities: int
    identity_was_cached: bool


@dataclass(frozen=True, slots=True)
class SinkStats:
    """Over all sinks."""

    dropped_frames: int
    dropped_audio: int


@dataclass(frozen=True, slots=True)
class ReceivingStats:
    """Everything since the first packet."""

    duration_s: float
    audio: AudioStats
    video: VideoStats
    av_skew_ms: SkewStats
    style: StyleStats
    control: ControlStats
    presentation_delay_ms: float
    runtime: str
    sinks: SinkStats
    identity: str | None
    """Name inside the peer's identity file; untrusted text."""
    notes: tuple[str, ...]


def receiving_stats(
    presentation: Presentation, control: PeerControl, came: ControlCounters, notes: tuple[str, ...], now_us: int
) -> ReceivingStats:
    """Read all counters at one moment; `came` is what came over the control channels of all links."""
    pipeline, frames, sinks = presentation.pipeline, presentation.frames, presentation.outputs.counters
    duration_s = _duration_s(pipeline, now_us)
    styles, identity = pipeline.style_receiver.counters, control.identity
    return ReceivingStats(
        duration_s=round(duration_s, 3),
        audio=_audio(pipeline),
        video=_video(pipeline, frames, duration_s, now_us),
        av_skew_ms=_skew(pipeline.presenter),
        style=StyleStats(styles.decoded, styles.malformed, styles.waiting, pipeline.intake.counters.bad_style_blocks),
        control=ControlStats(
            came.received,
            came.malformed + identity.num_refused_parts,
            came.flooded,
            identity.num_refused,
            identity.was_cached,
        ),
        presentation_delay_ms=round(pipeline.clock.presentation_delay_us / 1000.0, 1),
        runtime=frames.renderer.runtime,
        sinks=SinkStats(sinks.dropped_frames, sinks.dropped_audio),
        identity=identity.name,
        notes=notes,
    )


def _audio(pipeline: ReceivingPipeline) -> AudioStats:
    playout, intake, picture_stalls = pipeline.playout, pipeline.intake.counters, pipeline.presenter.stalls
    counters = playout.counters
    return AudioStats(
        packets_received=intake.received - playout.buffer.counters.duplicates,
        lost=playout.losses.lost,
        late=playout.buffer.counters.late,
        duplicates=playout.buffer.counters.duplicates,
        repaired=counters.repaired,
        concealed_ms=round(counters.concealed_ticks / TICKS_PER_MS, 1),
        comfort_noise_ms=round(counters.comfort_noise_ticks / TICKS_PER_MS, 1),
        outage_ms=round(counters.outage_ticks / TICKS_PER_MS, 1),
        longest_stall_ms=round(max(playout.stalls.longest_ms, picture_stalls.longest_ms), 1),
        longest_sound_stall_ms=round(playout.stalls.longest_ms, 1),
        longest_picture_stall_ms=round(picture_stalls.longest_ms, 1),
        playout_delay_ms=_rounded(playout.delay_ms),
        target_delay_ms=round(playout.delay.target_ms, 1),
        clock_skew_ppm=round(playout.delay.skew.ppm, 1),
        resyncs=counters.resyncs,
        skipped_ms=round(counters.skipped_ms, 1),
        malformed=intake.malformed,
        stray=intake.stray,
        undecodable=playout.decoder.counters.undecodable,
    )


def _video(pipeline: ReceivingPipeline, frames: RenderQueue, duration_s: float, now_us: int) -> VideoStats:
    shown = pipeline.presenter.counters
    p50, p95 = frames.render_ms.percentiles(0.5, 0.95)
    return VideoStats(
        frames_expected=pipeline.frames_expected(now_us),
        frames_shown=shown.shown,
        fps=round(shown.shown / duration_s, 2) if duration_s > 0 else 0.0,
        render_ms=RenderTimes(p50, p95),
        frames_drawn=frames.counters.drawn,
        dropped=frames.counters.dropped,
        overdue=frames.counters.overdue,
        too_late=shown.too_late,
        superseded=shown.superseded,
        failed=frames.counters.failed,
        without_received_style=pipeline.styles.num_concealed_frames,
        first_shown_us=pipeline.presenter.first_shown_us,
    )


def _skew(presenter: FramePresenter) -> SkewStats:
    p50, p95 = presenter.skew_ms.percentiles(0.5, 0.95)
    return SkewStats(p50, p95, max=round(presenter.max_skew_ms, 3))


def _duration_s(pipeline: ReceivingPipeline, now_us: int) -> float:
    if not pipeline.clock.is_started:
        return 0.0
    return max(0.0, pipeline.clock.position(now_us) / TICKS_PER_MS / 1000.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
