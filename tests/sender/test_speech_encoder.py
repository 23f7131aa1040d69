"""The fallback encoder and the choice between the two."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protocol.presets import get_preset
from sender import speech_encoder
from sender.speech_encoder import FALLBACK_BITRATE_BPS, FfmpegOpusEncoder, open_speech_encoder
from talkface_core.sound.libopus import OpusUnavailableError
from talkface_core.sound.opus import OpusDecoder


@pytest.mark.parametrize("packet_ms", [20, 40, 60, 120])
def test_fallback_never_runs_below_12_kbps_and_stays_wideband(speech: Callable[..., Any], packet_ms: int) -> None:
    pcm = speech(4.0, start_s=0.0, pause_s=(0.1, 0.2)).with_noise(-60.0)
    encoder = FfmpegOpusEncoder(8000, packet_ms)
    assert encoder.bitrate_bps == FALLBACK_BITRATE_BPS
    step = encoder.samples_per_packet
    with OpusDecoder() as decoder:
        for i in range(0, len(pcm) - step + 1, step):
            packet = encoder.encode(pcm[i : i + step])
            assert decoder.decode(packet).shape == (step,)
            assert packet[0] >> 3 >= 8, "narrowband or mediumband"
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.encode(pcm[:step])


def test_fallback_changes_its_settings_on_the_way() -> None:
    encoder = FfmpegOpusEncoder(12_000, 60)
    assert encoder.encode(np.zeros(2880, np.int16))
    encoder.configure(bitrate_bps=12_000, packet_ms=120)
    assert encoder.encode(np.zeros(5760, np.int16))
    with pytest.raises(ValueError, match=r"wants \[5760\]"):
        encoder.encode(np.zeros(2880, np.int16))
    with pytest.raises(ValueError, match="70 ms"):
        encoder.configure(bitrate_bps=12_000, packet_ms=70)


def test_libopus_is_preferred() -> None:
    encoder = open_speech_encoder(get_preset("default"))
    assert "wideband" in encoder.name
    encoder.close()


def test_without_libopus_the_fallback_comes_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object) -> None:
        raise OpusUnavailableError("libopus was not found")

    monkeypatch.setattr(speech_encoder, "OpusEncoder", missing)
    with caplog.at_level(logging.WARNING):
        encoder = open_speech_encoder(get_preset("minimum"))
    assert isinstance(encoder, FfmpegOpusEncoder)
    assert "libopus was not found" in caplog.text
    assert "12 kbps" in caplog.text
