"""The report as one self-contained page: inline SVG plots and a still frame, no script, nothing loaded."""

from __future__ import annotations

import base64
import html
import io
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from talkface.report.plot import plot_svg, spell
from talkface.report.report import COMPONENT_LABELS, Report, Series
from talkface.report.terminal import headline_rows, ordered_components
from talkface_core.whole_file import write_whole

COLOURS = ("#2f6fde", "#e0793b", "#3aa675", "#8a63d2", "#c9a227", "#d0557a", "#4ab3c9", "#7d8894", "#a05a2c")

PLOT_TITLES: dict[str, str] = {
    "wire_up_kbps": "wire up, kbps in each second",
    "latency_ms": "packet sent to sound ready, ms",
    "skew_ms": "lips against sound, ms",
    "render_ms": "drawing one frame, ms",
    "memory_sender_mb": "memory of the sender, MB",
    "memory_receiver_mb": "memory of the receiver, MB",
}


def write_page(report: Report, path: Path, still: NDArray[np.uint8] | None = None) -> None:
    """Write the page, folders included.

    Args:
        still: [H, W, 3] uint8 RGB, a frame of the call; left out when None.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Names of files need not be text: what is none of it becomes a question mark.
    write_whole(path, render_page(report, still).encode(errors="replace"))


def render_page(report: Report, still: NDArray[np.uint8] | None = None) -> str:
    """The whole page as text; everything that came from outside is escaped."""
    template = Template(files("talkface").joinpath("assets/report.html").read_text(encoding="utf-8"))
    machine = report.machine
    return template.substitute(
        lead=_escape(
            f"Preset {report.preset}, style {report.style}, {report.duration_s:.1f} s, weights {report.weights}"
        ),
        still=_still_tag(still),
        tiles="".join(_tile(value, label) for value, label in _tiles(report)),
        bars=_bars_svg(report),
        setup=spell(report.setup_bytes),
        identity=spell(report.identity_bytes),
        components=_component_rows(report),
        plots="".join(
            _figure(series, _escape(PLOT_TITLES.get(name, name)))
            for name, series in report.series.items()
            if len(series.values) > 1
        ),
        rows="".join(f"<tr><th>{_escape(a)}</th><td>{_escape(b)}</td></tr>" for a, b in headline_rows(report)),
        notes=_notes(report.notes),
        command=_escape(report.command),
        version=_escape(report.talkface_version),
        machine=_escape(
            f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.os}, Python {machine.python}"
        ),
    )


def _tiles(report: Report) -> list[tuple[str, str]]:
    video = report.video
    share = video.frames_shown / video.frames_expected if video.frames_expected else 0.0
    return [
        (f"{report.wire.up.talking_kbps:.1f} kbps", "on the wire while talking"),
        (f"{report.wire.up.kbps:.1f} kbps", "on the wire, whole call"),
        (_ms(report.audio.latency_ms.p50), "packet sent to sound ready"),
        (_ms(report.av_skew_ms.p95), "lips to sound, 95 %"),
        (f"{share:.1%}", f"frames shown, {video.fps:.1f} per second"),
        (_ms(report.audio.longest_stall_ms), "longest stall"),
    ]


def _tile(value: str, label: str) -> str:
    return f'<div class="tile"><b>{_escape(value)}</b><span>{_escape(label)}</span></div>'


def _still_tag(still: NDArray[np.uint8] | None) -> str:
    if still is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(still).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img class="still" alt="a frame of the call" src="data:image/png;base64,{data}">'


def _bars_svg(report: Report) -> str:
    """Horizontal bars, one per component."""
    parts = {name: size for name, size in ordered_components(report).items() if size > 0}
    largest = max(parts.values(), default=1)
    row_px, label_px, bar_px = 22, 130, 520
    rows = []
    for index, (name, size) in enumerate(parts.items()):
        y, width = index * row_px, bar_px * size / largest
        colour = COLOURS[index % len(COLOURS)]
        kbps = report.wire.up.components[name].kbps
        rows.append(
            f'<text x="0" y="{y + 15}">{_escape(COMPONENT_LABELS.get(name, name))}</text>'
            f'<rect x="{label_px}" y="{y + 4}" width="{width:.1f}" height="{row_px - 8}" rx="3" fill="{colour}"/>'
            f'<text x="{label_px + width + 6:.1f}" y="{y + 15}">{kbps:.2f} kbps</text>'
        )
    height = max(len(parts) * row_px, row_px)
    return f'<svg viewBox="0 0 740 {height}" role="img" aria-label="bytes by component">{"".join(rows)}</svg>'


def _figure(series: Series, title: str) -> str:
    return f"<figure>{plot_svg(series, title)}<figcaption>{title}</figcaption></figure>"


def _component_rows(report: Report) -> str:
    up, down = report.wire.up, report.wire.down
    rows = []
    for name in ordered_components(report):
        part, back = up.components[name], down.components.get(name)
        cells = (
            spell(part.bytes),
            f"{part.kbps:.3f}",
            f"{part.talking_kbps:.3f}",
            f"{back.kbps:.3f}" if back else "0.000",
        )
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{_escape(COMPONENT_LABELS.get(name, name))}</td>{numbers}</tr>")
    totals = (spell(up.bytes), f"{up.kbps:.3f}", f"{up.talking_kbps:.3f}", f"{down.kbps:.3f}")
    numbers = "".join(f'<th class="number">{cell}</th>' for cell in totals)
    return "".join(rows) + f"<tr><th>all</th>{numbers}</tr>"


def _notes(notes: list[str]) -> str:
    if not notes:
        return ""
    return '<h2>Notes</h2><div class="notes">' + "<br>".join(_escape(note) for note in notes) + "</div>"


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f} ms"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
