"""The report as a short table for a terminal, with a bar chart of where the bytes go."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from talkface.report.report import COMPONENT_LABELS, Percentiles, Report

BAR_WIDTH = 36


def headline_rows(report: Report) -> list[tuple[str, str]]:
    """What a person wants to know first: (name, value with unit), shared with the page."""
    wire, audio, video, skew = report.wire, report.audio, report.video, report.av_skew_ms
    shown = video.frames_shown / video.frames_expected if video.frames_expected else 0.0
    rows = [
        ("preset", f"{report.preset}, style {report.style}, weights {report.weights}"),
        ("call", f"{report.duration_s:.1f} s, of which {report.talk_s:.1f} s talking"),
        ("wire up, talking", f"{wire.up.talking_kbps:.2f} kbps, all bytes from IP upward"),
        ("wire up, whole call", f"{wire.up.kbps:.2f} kbps ({wire.up.bytes} bytes)"),
        ("wire down", f"{wire.down.kbps:.2f} kbps"),
        ("once", f"set-up {report.setup_bytes} bytes, identity {report.identity_bytes} bytes"),
        ("sound", _sound_text(report)),
        ("longest stall", f"{audio.longest_stall_ms:.0f} ms"),
        ("sent to sound ready", _percentile_text(audio.latency_ms)),
        ("lips to sound", _percentile_text(Percentiles(p50=skew.p50, p95=skew.p95)) + _max_text(skew.max)),
        ("frames", f"{video.frames_shown} of {video.frames_expected} shown ({shown:.1%}), {video.fps:.1f} per second"),
        ("drawing one", f"{_percentile_text(video.render_ms)} by {report.runtime}"),
    ]
    if report.network:
        rows.insert(2, ("network", ", ".join(f"{name} {value:g}" for name, value in report.network.items())))
    if report.reconnects:
        rows.append(("reconnects", str(report.reconnects)))
    rows += [
        (f"memory, {end}", f"{value.p50:.0f} MB median")
        for end, value in report.memory_mb.items()
        if value.p50 is not None
    ]
    return rows


def render_report(report: Report) -> RenderableType:
    """The table and the chart as one thing to print."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in headline_rows(report):
        table.add_row(name, value)
    parts: list[RenderableType] = [
        table,
        Text(),
        Text("where the bytes go (up, whole call)", style="bold"),
        _bars(report),
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    return Panel(Group(*parts), title="talkface call report", title_align="left", expand=False)


def print_report(report: Report, console: Console) -> None:
    console.print(render_report(report))


def _bars(report: Report) -> Table:
    up = report.wire.up
    largest = max((part.bytes for part in up.components.values()), default=0)
    chart = Table.grid(padding=(0, 1))
    chart.add_column(no_wrap=True)
    chart.add_column(width=BAR_WIDTH, no_wrap=True)
    chart.add_column(justify="right", no_wrap=True)
    chart.add_column(justify="right", no_wrap=True)
    for name, part in ordered_components(report).items():
        length = round(BAR_WIDTH * part / largest) if largest else 0
        share = part / up.bytes if up.bytes else 0.0
        chart.add_row(
            COMPONENT_LABELS.get(name, name),
            Text("█" * length, style="cyan"),
            f"{up.components[name].kbps:.2f} kbps",
            f"{share:.0%}",
        )
    return chart


def ordered_components(report: Report) -> dict[str, int]:
    """Bytes per component of the up direction, in the order of `COMPONENT_LABELS`, unknown ones last."""
    parts = report.wire.up.components
    names = [name for name in COMPONENT_LABELS if name in parts]
    names += [name for name in parts if name not in COMPONENT_LABELS]
    return {name: parts[name].bytes for name in names}


def _sound_text(report: Report) -> str:
    audio = report.audio
    return (
        f"{audio.packets_received} of {audio.packets_sent} packets came, {audio.lost} lost, {audio.repaired} repaired, "
        f"{audio.late} late, {audio.concealed_ms:.0f} ms concealed"
    )


def _percentile_text(value: Percentiles) -> str:
    if value.p50 is None or value.p95 is None:
        return "not measured"
    return f"{value.p50:.1f} ms median, {value.p95:.1f} ms at 95 %"


def _max_text(value: float | None) -> str:
    return "" if value is None else f", {value:.1f} ms at most"
