"""Whole calls of a few seconds between real processes: their reports add up, their files are complete.

Bounds here are those that a busy machine does not move; timing is judged by hand and by `make soak`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from talkface.demo import SPEECH
from talkface.report.report import COMPONENT_LABELS, Report, report_from_dict

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]

DURATION_S = 5.0


def loopback(folder: Path, *options: str, name: str = "call") -> Report:
    """Run `talkface loopback` with the tiny model; its report."""
    report = folder / f"{name}.json"
    arguments = ["loopback", "--weights", "tiny", "--report", str(report), "--duration-s", str(DURATION_S), *options]
    result = subprocess.run(
        [sys.executable, "-m", "talkface", *arguments], capture_output=True, text=True, timeout=150, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return report_from_dict(json.loads(report.read_text()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loopback")


@pytest.fixture(scope="module")
def clean_call(folder: Path) -> Report:
    return loopback(folder, "--output", str(folder / "call.mp4"), "--html", str(folder / "call.html"))


def test_every_byte_has_a_name(clean_call: Report) -> None:
    for direction in (clean_call.wire.up, clean_call.wire.down):
        assert set(direction.components) == set(COMPONENT_LABELS)
        assert sum(part.bytes for part in direction.components.values()) == direction.bytes
        # The report rounds to whole bits per second.
        assert direction.kbps == pytest.approx(direction.bytes * 8 / clean_call.duration_s / 1000, rel=1e-3, abs=6e-4)
    up = clean_call.wire.up.components
    assert up["ip_udp"].bytes == clean_call.wire.up.datagrams * 28
    assert up["opus"].bytes > up["style"].bytes > 0
    assert up["redundancy"].bytes == 0
    assert clean_call.wire.down.components["opus"].bytes == 0


def test_rate_is_what_the_preset_promises(clean_call: Report) -> None:
    assert clean_call.preset == "default"
    assert 10.0 < clean_call.wire.up.talking_kbps <= 16.5  # five seconds: one consent check more or less is 0.2 kbps
    assert clean_call.talk_s == pytest.approx(DURATION_S, abs=1.0)
    assert clean_call.setup_bytes > 500
    assert clean_call.identity_bytes > 100


def test_nothing_is_lost_on_a_clean_path(clean_call: Report) -> None:
    audio = clean_call.audio
    assert audio.packets_sent == audio.packets_received > DURATION_S / 0.06 * 0.9
    assert (audio.lost, audio.repaired) == (0, 0)
    assert audio.latency_ms.p50 is not None
    assert 0 < audio.latency_ms.p50 < 1_000
    assert clean_call.reconnects == 0


def test_frames_follow_the_sound(clean_call: Report) -> None:
    video = clean_call.video
    assert video.frames_expected >= DURATION_S * 25 * 0.95
    assert 0 < video.frames_shown <= video.frames_expected + 1
    assert clean_call.av_skew_ms.p50 is not None
    assert clean_call.runtime


def test_recording_holds_picture_and_sound_of_the_same_length(clean_call: Report, folder: Path) -> None:
    with av.open(str(folder / "call.mp4")) as container:
        frames = [frame.time for frame in container.decode(video=0)]
    with av.open(str(folder / "call.mp4")) as container:
        pieces = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    sound = np.concatenate(pieces)
    assert sound.shape[0] / rate >= DURATION_S
    assert float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) > 0.005, "the recording is silent"
    assert frames[-1] == pytest.approx(sound.shape[0] / rate, abs=0.3)
    assert len(frames) == clean_call.video.frames_shown


def test_page_has_plots_and_a_still(clean_call: Report, folder: Path) -> None:
    page = (folder / "call.html").read_text()
    assert "data:image/png;base64," in page
    assert page.count("<polyline") >= 3
    assert f"{clean_call.wire.up.talking_kbps:.1f} kbps" in page


def test_curves_cover_the_call(clean_call: Report) -> None:
    for name in ("latency_ms", "wire_up_kbps", "memory_sender_mb", "memory_receiver_mb"):
        assert clean_call.series[name].seconds[-1] >= DURATION_S - 2, name


def test_rough_network_is_repaired_and_named(folder: Path) -> None:
    report = loopback(folder, "--loss", "0.2", "--seed", "5", "--preset", "robust", "--delay-ms", "40", name="rough")
    assert report.network == {"loss": 0.2, "delay_ms": 40.0, "seed": 5.0}
    assert report.audio.lost > 0
    assert report.audio.repaired > 0
    assert report.wire.up.components["redundancy"].bytes > 0
    assert report.audio.latency_ms.p50 is not None
    assert report.audio.latency_ms.p50 > 40
    assert report.reconnects == 0


def test_style_can_be_left_out(folder: Path) -> None:
    report = loopback(folder, "--style", "none", name="none")
    assert report.style == "none"
    assert report.wire.up.components["style"].bytes == 0


def test_ctrl_c_ends_both_ends_with_whole_files(folder: Path) -> None:
    recording, path = folder / "stopped.mp4", folder / "stopped.json"
    arguments = ["loopback", "--weights", "tiny", "--output", str(recording), "--report", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "talkface", *arguments, "--duration-s", "120"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        seen = ""
        while seen.count("connected (") < 2:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        time.sleep(3.0)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + seen + error
    report = report_from_dict(json.loads(path.read_text()))
    assert "stopped by Ctrl-C" in report.notes
    assert 2.0 <= report.duration_s < 60
    assert report.video.frames_shown > 0
    with av.open(str(recording)) as container:
        assert sum(1 for _ in container.decode(video=0)) == report.video.frames_shown


def test_an_output_that_is_the_input_is_refused_and_left(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    shutil.copy(SPEECH, clip)
    os.link(clip, tmp_path / "same.mp4")
    before = clip.read_bytes()
    for output in ("a.mp4", "same.mp4", "../" + tmp_path.name + "/a.mp4"):
        arguments = ["loopback", "--weights", "tiny", "--input", "a.mp4", "--output", output]
        result = subprocess.run(
            [sys.executable, "-m", "talkface", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 1
        assert result.stderr == (
            f"talkface: --output: {Path(output)} is what --input reads, and would be overwritten. "
            "Give --output another name\n"
        )
    assert clip.read_bytes() == before


def test_a_full_disk_is_said_with_what_the_recording_holds(tmp_path: Path) -> None:
    """On a file system of 40 kB, which an older recording shares; the numbers of the call are not lost."""
    disk, report = tmp_path / "disk", tmp_path / "report.json"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=40k none "$1" && echo old > "$1/call.mp4" && shift && "$@"; code=$?; '
        f'cat "{disk}/call.mp4"; ls "{disk}"; exit $code'
    )
    arguments = ["loopback", "--weights", "tiny", "--style", "none", "--duration-s", str(DURATION_S)]
    arguments += ["--output", str(disk / "call.mp4"), "--report", str(report)]
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(disk)]
    try:
        result = subprocess.run(
            [*command, sys.executable, "-m", "talkface", *arguments],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if result.stderr.startswith(("unshare", "mount")):
        pytest.skip(f"no file system of one's own here: {result.stderr.strip()}")
    assert result.returncode == 1, result.stderr
    assert "\nold\ncall.mp4\n" in result.stdout
    holds = r"(: nothing was recorded \(| holds only the first [\d.]+ s of the call: )No space left on device"
    assert re.search(rf"talkface: receive: .*call.*mp4{holds}", result.stderr)
    assert "wire up, talking" in result.stdout
    assert report_from_dict(json.loads(report.read_text())).duration_s > 1
