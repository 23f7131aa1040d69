"""Table II of the paper: the full model beside one without lip sync and one without video reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (("SSIM↑", "ssim"), ("PSNR↑", "psnr_db"), ("LMD↓", "lmd_mouth"), ("LSE-D↓", "lse_d"), ("FID↓", "fid"))
EXTRA_COLUMNS = (("sharp≈1", "sharpness_face"), ("FD-own↓", "fd_own"))
BEHAVIOUR_COLUMNS = (
    ("closure↑", "closure"),
    ("mouth≈1", "amplitude_mouth"),
    ("eyes≈1", "amplitude_eyes"),
    ("leak↓", "silence_leak"),
    ("motion r↑", "motion_correlation"),
    ("scale≈1", "motion_scale"),
    ("LMD/eyes↓", "lmd_mouth_over_eyes"),
    ("warped↓", "lmd_mouth_warped"),
)
LIKENESS_COLUMNS = (
    ("same≈", "identity_similarity_of_original"),
    ("identity↑", "identity_similarity"),
    ("strangers", "identity_similarity_of_strangers"),
    ("distance↓", "recogniser_distance"),
    ("right↑", "recognised"),
    ("eff-sim↑", "efficientnet_similarity"),
    ("FD-eff↓", "fd_efficientnet"),
)
ROWS = (("Baseline", "baseline"), ("w/o LipSync", "lipsync"), ("w/o VideoRef", "videoref"))


class ReportError(ValueError):
    """A report of `talkface evaluate` cannot be read; the message names the file."""


def read_report(path: Path) -> dict[str, Any]:
    """A report that `talkface evaluate --report` wrote.

    Raises:
        ReportError: missing, damaged or something else.
    """
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path}: not a readable report ({error}); make one with talkface evaluate --report"
        ) from error
    if not isinstance(report, dict) or not isinstance(report.get("modes"), dict):
        raise ReportError(f"{path}: not a report of talkface evaluate")
    return report


def table_one(report: Mapping[str, Any]) -> str:
    """Table I's columns, what the face does and whose it is, one line per mode each; then what is missing and why."""
    lines = []
    for columns in ((*COLUMNS, *EXTRA_COLUMNS), BEHAVIOUR_COLUMNS, LIKENESS_COLUMNS):
        lines.append(_line("mode", [name for name, _ in columns]))
        for mode, values in report["modes"].items():
            lines.append(_line(mode, [_cell(values.get(key)) for _, key in columns]))
    for mode, values in report["modes"].items():
        if (share := values.get("recognised")) is not None:
            lines.append(f"  {mode}: {share:.2f} of the drawn faces are nearest to a true face of their own person")
    lines += [f"  {name} is missing: {reason}" for name, reason in sorted(report.get("missing", {}).items())]
    return "\n".join(lines)


def table_two(reports: Mapping[str, Mapping[str, Any]], mode: str = "live") -> str:
    """Baseline and ablations, one line each.

    Args:
        reports: by "baseline", "lipsync" and "videoref"; absent ones are left out.
        mode: which mode of the reports is compared.

    Raises:
        ReportError: the baseline, or the mode in one of the reports, is missing.
    """
    if "baseline" not in reports:
        raise ReportError("Table II needs a baseline report")
    lines = [_line("configuration", [name for name, _ in (*COLUMNS, *EXTRA_COLUMNS)])]
    for title, key in ROWS:
        if key not in reports:
            continue
        values = reports[key]["modes"].get(mode)
        if values is None:
            raise ReportError(f"the report of {title} has no mode {mode!r}; evaluate it with --mode {mode}")
        lines.append(_line(title, [_cell(values.get(name)) for _, name in (*COLUMNS, *EXTRA_COLUMNS)]))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"


def _line(head: str, cells: Sequence[str]) -> str:
    return f"{head:<14}" + "".join(f"{cell:>10}" for cell in cells)
