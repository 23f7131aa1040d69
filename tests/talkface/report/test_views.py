"""The report for people: terminal table and page say the numbers that the file holds."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from talkface.report.html import render_page, write_page
from talkface.report.report import Report
from talkface.report.terminal import print_report


def test_terminal_shows_numbers_and_bars(sample_report: Report) -> None:
    out = io.StringIO()
    print_report(sample_report, Console(file=out, width=120))
    text = out.getvalue()
    assert "10.56 kbps" in text
    assert "42.0 ms median" in text
    assert "249 of 250" in text
    bars = {line.split("█")[0].strip(" │"): line.count("█") for line in text.splitlines() if "█" in line}
    assert bars["Opus sound"] > bars["IP and UDP"] > 0


def test_page_is_self_contained_and_escaped(sample_report: Report) -> None:
    page = render_page(sample_report)
    assert "a &lt;fast&gt; one" in page
    assert "a &amp; b" in page
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", page)
    assert "<script" not in page
    assert page.count("<polyline") == 1


def test_page_carries_the_still(sample_report: Report, tmp_path: Path) -> None:
    still = np.zeros((32, 32, 3), np.uint8)
    still[..., 0] = 200
    path = tmp_path / "a" / "page.html"
    write_page(sample_report, path, still)
    match = re.search(r"data:image/png;base64,([^\"]+)", path.read_text())
    assert match is not None
    image = Image.open(io.BytesIO(base64.b64decode(match.group(1))))
    assert image.size == (32, 32)
    assert image.getpixel((3, 3)) == (200, 0, 0)
