"""Capture devices: FFmpeg's signal generators stand for hardware and go the whole way; missing ones are explained."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from sender.errors import DeviceUnavailableError
from sender.sources.devices import Camera, Microphone, open_device

ROOT = Path(__file__).resolve().parents[3]
TONE = "lavfi:sine=frequency=1000:sample_rate=44100"
PICTURE = "lavfi:testsrc=size=97x64:rate=30"


def test_microphone_gives_packets_at_48_khz() -> None:
    microphone = Microphone(TONE)
    microphone.open()
    try:
        parts = [microphone.read(2880) for _ in range(20)]
    finally:
        microphone.close()
    assert all(part is not None and part.shape == (2880,) and part.dtype == np.int16 for part in parts)
    last = np.asarray(parts[-1], np.float64)
    spectrum = np.abs(np.fft.rfft(last * np.hanning(2880)))
    assert abs(int(spectrum.argmax()) * 48_000 / 2880 - 1000) <= 17


def test_a_microphone_that_nobody_reads_keeps_half_a_second() -> None:
    microphone = Microphone(TONE)  # the generator runs as fast as it can
    microphone.open()
    try:
        deadline = time.monotonic() + 10
        while microphone.num_dropped_samples == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert microphone.num_dropped_samples > 0
        assert microphone._num_buffered <= 24_000 + 2048
    finally:
        microphone.close()


def test_a_device_that_ends_is_an_error_for_the_reader() -> None:
    microphone = Microphone(TONE + ":duration=0.3")
    microphone.open()
    try:
        with pytest.raises(DeviceUnavailableError, match="has gone away"):
            microphone.read(48_000)
    finally:
        microphone.close()


def test_close_wakes_a_reader() -> None:
    microphone = Microphone(TONE + ":duration=0.1")
    microphone.open()
    outcome: list[str] = []

    def read() -> None:
        try:
            while microphone.read(48_000) is not None:
                pass
        except DeviceUnavailableError as error:
            outcome.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.05)
    microphone.close()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert outcome


def test_camera_stamps_pictures_with_media_time_and_keeps_the_latest() -> None:
    ticks = iter(range(0, 10**9, 1600))
    camera = Camera(lambda: next(ticks), PICTURE)
    camera.open()
    try:
        frames = [camera.read_frame() for _ in range(5)]
        deadline = time.monotonic() + 10
        while camera.num_dropped_frames == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        skipped = camera.skip_frame()
    finally:
        camera.close()
    times = [frame.ticks for frame in frames if frame is not None]
    assert len(times) == 5
    assert times == sorted(times)
    assert frames[0] is not None
    assert frames[0].rgb.shape == (64, 97, 3)
    assert frames[0].rgb.flags.c_contiguous
    assert camera.num_dropped_frames > 0
    assert skipped is not None
    assert skipped > times[-1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("alsa:no-such-card", "microphone"),
        ("v4l2:/dev/video99", "camera"),
        ("no-such-device", "microphone"),
        ("/dev/video99", "camera"),
        ("lavfi:no_such_filter", "microphone"),
    ],
)
def test_a_missing_device_is_named_with_what_to_do(name: str, kind: str) -> None:
    with pytest.raises(DeviceUnavailableError, match=r"cannot be opened.*--input") as caught:
        open_device(name, kind)
    assert repr(name) in str(caught.value)
    assert kind in str(caught.value)


def test_a_camera_is_no_microphone() -> None:
    with pytest.raises(DeviceUnavailableError, match="gives no sound"):
        open_device(PICTURE, "microphone")


def test_closing_what_was_never_opened() -> None:
    Microphone().close()
    Camera(lambda: 0).close()
    assert Microphone().read(960) is None
    assert Camera(lambda: 0).read_frame() is None


def test_alsa_is_found_where_the_system_keeps_its_configuration(tmp_path: Path) -> None:
    """ALSA's null device stands for a sound card; a process of its own, as ALSA keeps its configuration."""
    if "alsa" not in av.formats_available:
        pytest.skip("this FFmpeg has no ALSA")
    (tmp_path / "asound.conf").write_text("pcm.test { type null }\n")
    code = (
        "from sender.sources.devices import Microphone\n"
        "microphone = Microphone('alsa:test')\nmicrophone.open()\n"
        "print(microphone.read(2880).shape)\nmicrophone.close()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.strip() == "(2880,)", result.stderr
