"""What the receiving session counted, as the dictionary that report.json is made of, and as a stats message."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from protocol.messages import Stats
from protocol.rtp_time import TICKS_PER_MS
from receiver.drawing.render_worker import RenderWorker
from receiver.peer_control import PeerControl
from receiver.pipeline import ReceivingPipeline


def session_stats(
    pipeline: ReceivingPipeline, worker: RenderWorker, control: PeerControl, now_us: int
) -> dict[str, Any]:
    """Everything since the first packet; all values are JSON."""
    playout, presenter = pipeline.playout, pipeline.presenter
    duration_s = _duration_s(pipeline, now_us)
    shown = presenter.counters.shown
    render_p50, render_p95 = worker.render_ms.percentiles(0.5, 0.95)
    skew_p50, skew_p95 = presenter.skew_ms.percentiles(0.5, 0.95)
    return {
        "duration_s": round(duration_s, 3),
        "audio": {
            "packets_received": pipeline.intake.counters.received - playout.buffer.counters.duplicates,
            "lost": playout.losses.lost,
            "late": playout.buffer.counters.late,
            "duplicates": playout.buffer.counters.duplicates,
            "repaired": playout.counters.repaired,
            "concealed_ms": round(playout.counters.concealed_ticks / TICKS_PER_MS, 1),
            "comfort_noise_ms": round(playout.counters.comfort_noise_ticks / TICKS_PER_MS, 1),
            "outage_ms": round(playout.counters.outage_ticks / TICKS_PER_MS, 1),
            "longest_stall_ms": round(max(playout.stalls.longest_ms, presenter.stalls.longest_ms), 1),
            "longest_sound_stall_ms": round(playout.stalls.longest_ms, 1),
            "longest_picture_stall_ms": round(presenter.stalls.longest_ms, 1),
            "playout_delay_ms": _rounded(playout.delay_ms),
            "target_delay_ms": round(playout.delay.target_ms, 1),
            "clock_skew_ppm": round(playout.delay.skew.ppm, 1),
            "resyncs": playout.counters.resyncs,
            "skipped_ms": round(playout.counters.skipped_ms, 1),
            "malformed": pipeline.intake.counters.malformed,
            "stray": pipeline.intake.counters.stray,
            "undecodable": playout.decoder.counters.undecodable,
        },
        "video": {
            "frames_expected": pipeline.frames_expected(now_us),
            "frames_shown": shown,
            "fps": round(shown / duration_s, 2) if duration_s > 0 else 0.0,
            "render_ms": {"p50": render_p50, "p95": render_p95},
            "frames_drawn": worker.counters.drawn,
            "dropped": worker.counters.dropped,
            "overdue": worker.counters.overdue,
            "too_late": presenter.counters.too_late,
            "superseded": presenter.counters.superseded,
            "failed": worker.counters.failed,
            "without_received_style": pipeline.styles.num_concealed_frames,
        },
        "av_skew_ms": {"p50": skew_p50, "p95": skew_p95, "max": round(presenter.max_skew_ms, 3)},
        "style": {**asdict(pipeline.style_receiver.counters), "bad_blocks": pipeline.intake.counters.bad_style_blocks},
        "control": {**asdict(control.counters), "identity_was_cached": control.identity_was_cached},
        "presentation_delay_ms": round(pipeline.clock.presentation_delay_us / 1000.0, 1),
        "runtime": worker.runtime,
    }


def stats_message(stats: dict[str, Any]) -> Stats:
    """The message that tells the far end."""
    audio, video = stats["audio"], stats["video"]
    return Stats(
        duration_ms=int(stats["duration_s"] * 1000),
        packets_received=audio["packets_received"],
        packets_lost=audio["lost"],
        packets_repaired=audio["repaired"],
        packets_malformed=audio["malformed"],
        concealed_ms=int(audio["concealed_ms"]),
        playout_delay_ms=max(0, int(audio["playout_delay_ms"] or 0)),
        frames_expected=video["frames_expected"],
        frames_shown=video["frames_shown"],
    )


def _duration_s(pipeline: ReceivingPipeline, now_us: int) -> float:
    if not pipeline.clock.is_started:
        return 0.0
    return max(0.0, pipeline.clock.position(now_us) / TICKS_PER_MS / 1000.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
