"""A call of 15 minutes with a clock that is 100 ppm off: nothing grows, nothing drifts. `make soak` runs it.

TALKFACE_SOAK_S shortens it while working on it; memory is compared from the third minute on, so no less than 180.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DURATION_S = float(os.environ.get("TALKFACE_SOAK_S", "900"))
WEIGHTS = os.environ.get("TALKFACE_SOAK_WEIGHTS", "default")
SETTLED_S = 120.0
MAX_GROWTH = 1.05
MAX_SKEW_P95_MS = 40.0
CLOCK_PPM = 100.0


@pytest.mark.soak
@pytest.mark.network
@pytest.mark.timeout(DURATION_S * 1.5 + 300)
def test_long_call_neither_grows_nor_drifts(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    arguments = [
        "loopback",
        "--weights",
        WEIGHTS,
        "--duration-s",
        str(DURATION_S),
        "--clock-ppm",
        str(CLOCK_PPM),
        "--report",
        str(path),
    ]
    result = subprocess.run(
        [sys.executable, "-m", "talkface", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    print(result.stdout)
    report = json.loads(path.read_text())
    assert report["duration_s"] >= DURATION_S - 5
    assert report["reconnects"] == 0
    assert report["av_skew_ms"]["p95"] <= MAX_SKEW_P95_MS
    assert report["video"]["frames_shown"] >= 0.99 * report["video"]["frames_expected"]
    for end in ("sender", "receiver"):
        series = report["series"][f"memory_{end}_mb"]
        seconds, megabytes = np.asarray(series["seconds"]), np.asarray(series["values"])
        settled = megabytes[(seconds >= SETTLED_S) & (seconds < SETTLED_S + 60)]
        last = megabytes[seconds >= seconds[-1] - 60]
        assert settled.size, "the call was too short to judge memory"
        growth = float(np.median(last) / np.median(settled))
        print(f"{end}: {np.median(settled):.1f} MB in the third minute, {np.median(last):.1f} MB in the last")
        assert growth <= MAX_GROWTH, f"{end} grew by {growth - 1:.1%}"
