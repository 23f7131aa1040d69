"""report.json: arithmetic, the contract of its fields, and that it reads back."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from protocol.presets import PRESETS
from talkface.report.report import (
    COMPONENT_LABELS,
    MAX_POINTS,
    AudioReport,
    MachineReport,
    Percentiles,
    Report,
    SkewReport,
    VideoReport,
    kbps,
    percentiles,
    report_from_dict,
    skew_report,
    thin,
)
from talkface.rtc.wire.totals import ComponentTotals, DirectionTotals


def test_fields_of_the_contract_are_there(sample_report: Report, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    sample_report.write(path)
    data = json.loads(path.read_text())
    assert {"preset", "duration_s", "talk_s", "setup_bytes", "identity_bytes", "runtime", "machine"} <= data.keys()
    for direction in ("up", "down"):
        assert {"kbps", "talking_kbps", "components"} <= data["wire"][direction].keys()
    audio = {"packets_sent", "packets_received", "lost", "repaired", "concealed_ms", "longest_stall_ms", "latency_ms"}
    assert audio <= data["audio"].keys()
    assert {"p50", "p95"} <= data["audio"]["latency_ms"].keys()
    assert {"frames_expected", "frames_shown", "fps", "render_ms"} <= data["video"].keys()
    assert {"p50", "p95", "max"} <= data["av_skew_ms"].keys()


def test_report_reads_back_equal(sample_report: Report) -> None:
    assert report_from_dict(json.loads(sample_report.to_json())) == sample_report


@pytest.mark.parametrize("key", ["audio", "wire", "machine"])
def test_missing_field_is_named(sample_report: Report, key: str) -> None:
    data = json.loads(sample_report.to_json())
    del data[key]
    with pytest.raises(ValueError, match=key):
        report_from_dict(data)


def test_other_version_is_refused(sample_report: Report) -> None:
    data = json.loads(sample_report.to_json())
    data["report_version"] = 99
    with pytest.raises(ValueError, match="version 99"):
        report_from_dict(data)


def test_number_that_is_not_finite_is_refused(sample_report: Report) -> None:
    broken = dataclasses.replace(sample_report, duration_s=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


def test_percentiles_of_a_known_ramp() -> None:
    assert percentiles(range(101)) == Percentiles(p50=50.0, p95=95.0)
    assert percentiles([]) == Percentiles(p50=None, p95=None)


def test_skew_counts_magnitude() -> None:
    skew = skew_report([-30.0, 10.0, 10.0])
    assert (skew.p50, skew.max) == (10.0, 30.0)


def test_kbps_of_a_known_rate() -> None:
    assert kbps(2_000, 2.0) == 8.0
    assert kbps(2_000, 0.0) == 0.0


def test_thin_keeps_the_spike() -> None:
    values = [1.0] * 10_000
    values[7_777] = 500.0
    series = thin([i / 100 for i in range(10_000)], values)
    assert len(series.values) <= MAX_POINTS
    assert max(series.values) == 500.0
    assert series.seconds == sorted(series.seconds)


def test_readme_promises_what_the_presets_cost() -> None:
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    for preset in PRESETS.values():
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{preset.name}`"))
        assert f"{preset.expected_kbps:.1f} kbps" in row, preset.name
        assert f"Opus {preset.bitrate_bps // 1000} kbps, {preset.packet_ms} ms" in row, preset.name


def test_documentation_names_every_field() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "report.md").read_text()
    kinds = (Report, DirectionTotals, AudioReport, VideoReport, MachineReport, SkewReport, ComponentTotals)
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    missing = sorted(name for name in names if name not in page)
    assert not missing
    assert set(re.findall(r"`([a-z_]+)`", page.split("`wire.*.components`")[1].split("\n")[0])) >= set(COMPONENT_LABELS)
