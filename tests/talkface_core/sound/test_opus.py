"""Opus through ctypes: rates, bandwidth, concealment, and that bad bytes and bad arguments only raise."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.sound import libopus
from talkface_core.sound.opus import OpusDecoder, OpusEncoder, OpusError, OpusPacketError

RATE = 48_000


def buzz(seconds: float, rate: int = RATE, seed: int = 0) -> NDArray[np.int16]:
    """A voice-like signal: a 120 Hz pulse train and some noise, both through slow level changes."""
    time = np.arange(int(seconds * rate)) / rate
    harmonics = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 40))
    level = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    noise = np.random.default_rng(seed).normal(size=time.shape)
    return (level * (4000 * harmonics + 600 * noise)).astype(np.int16)


def encode_all(encoder: OpusEncoder, pcm: NDArray[np.int16]) -> list[bytes]:
    step = encoder.samples_per_packet
    return [encoder.encode(pcm[i : i + step]) for i in range(0, len(pcm) - step + 1, step)]


@pytest.mark.parametrize("packet_ms", [20, 40, 60, 80, 100, 120])
@pytest.mark.parametrize("bitrate_bps", [6000, 8000, 12_000])
def test_rate_is_near_nominal_and_every_packet_is_wideband_of_the_asked_duration(
    packet_ms: int, bitrate_bps: int
) -> None:
    with OpusEncoder(bitrate_bps, packet_ms) as encoder, OpusDecoder() as decoder:
        packets = encode_all(encoder, buzz(6.0))
        kbps = sum(map(len, packets)) * 8 / (len(packets) * packet_ms)
        assert 0.6 * bitrate_bps / 1000 < kbps < 1.35 * bitrate_bps / 1000
        for packet in packets:
            assert 8 <= packet[0] >> 3 <= 11  # SILK wideband configurations (RFC 6716 table 2)
            assert decoder.decode(packet).shape == (packet_ms * 48,)


@pytest.mark.parametrize("bitrate_bps", [6000, 9900, 16_000, 32_000, 64_000])
def test_long_packets_of_sound_that_changes_its_kind(bitrate_bps: int) -> None:
    rng = np.random.default_rng(11)
    kinds = [np.zeros(4000), rng.normal(size=4000) * 8000, np.sign(rng.normal(size=4000)) * 30_000, buzz(4000 / RATE)]
    pcm = np.concatenate([kinds[i] for i in rng.integers(0, len(kinds), 100)]).astype(np.int16)
    with OpusEncoder(bitrate_bps, 120) as encoder, OpusDecoder() as decoder:
        assert all(decoder.decode(packet).shape == (5760,) for packet in encode_all(encoder, pcm))


def test_automatic_bandwidth_would_be_narrowband_at_8_kbps() -> None:
    with OpusEncoder(8000, 60, "auto") as encoder:
        assert all(packet[0] >> 3 <= 3 for packet in encode_all(encoder, buzz(3.0))[5:])


def test_decoded_sound_resembles_what_went_in() -> None:
    pcm = buzz(3.0)
    with OpusEncoder(24_000, 20) as encoder, OpusDecoder() as decoder:
        decoded = np.concatenate([decoder.decode(packet) for packet in encode_all(encoder, pcm)])
    best = max(
        np.corrcoef(pcm[RATE : 2 * RATE], decoded[RATE + lag : 2 * RATE + lag])[0, 1] for lag in range(200, 600, 4)
    )
    assert best > 0.6


def test_changing_rate_and_duration_on_the_way() -> None:
    pcm = buzz(2.0)
    with OpusEncoder(8000, 60) as encoder, OpusDecoder() as decoder:
        assert decoder.decode(encoder.encode(pcm[:2880])).shape == (2880,)
        encoder.configure(bitrate_bps=6000, packet_ms=120)
        assert encoder.samples_per_packet == 5760
        assert decoder.decode(encoder.encode(pcm[:5760])).shape == (5760,)


def test_concealment_continues_and_fades() -> None:
    with OpusEncoder(12_000, 60) as encoder, OpusDecoder() as decoder:
        for packet in encode_all(encoder, buzz(1.2)):
            last = decoder.decode(packet)
        hole = decoder.decode(None, 2880 * 3)
    assert hole.shape == (8640,)

    def rms(x: NDArray[np.int16]) -> float:
        return float(np.sqrt(np.mean(x.astype(np.float64) ** 2)))

    assert rms(hole[:960]) > 0.1 * rms(last)
    assert rms(hole[-960:]) < 0.3 * rms(hole[:960])


@pytest.mark.parametrize("num_samples", [120, 480, 960, 2880, 5760, 48_000])
def test_concealment_of_any_multiple_of_2_5_ms(num_samples: int) -> None:
    with OpusDecoder() as decoder:
        assert decoder.decode(None, num_samples).shape == (num_samples,)


@pytest.mark.parametrize("num_samples", [None, 0, -120, 100])
def test_concealment_refuses_other_lengths(num_samples: int | None) -> None:
    with OpusDecoder() as decoder, pytest.raises(OpusError, match=r"multiple of 120"):
        decoder.decode(None, num_samples)


def test_one_byte_packet_is_comfort_noise_and_not_an_error() -> None:
    with OpusEncoder(8000, 60) as encoder, OpusDecoder() as decoder:
        packet = encode_all(encoder, buzz(0.6))[-1]
        decoder.decode(packet)
        assert decoder.decode(bytes([packet[0] & ~3])).shape[0] > 0
        assert decoder.decode(None, 2880).shape == (2880,)


def test_garbage_only_raises_and_the_decoder_lives_on() -> None:
    rng = np.random.default_rng(7)
    refused = 0
    with OpusEncoder(8000, 60) as encoder, OpusDecoder() as decoder:
        good = encode_all(encoder, buzz(0.6))
        for size in [*range(1, 200), 500, 1275, 1500, 4000]:
            for _ in range(5):
                try:
                    decoded = decoder.decode(rng.bytes(size))
                except OpusPacketError:
                    refused += 1
                else:
                    assert decoded.shape[0] <= 5760
        for packet in good:
            for cut in range(1, len(packet)):
                try:
                    decoder.decode(packet[:cut])
                except OpusPacketError:
                    refused += 1
            assert decoder.decode(packet).shape == (2880,)
    assert refused > 100


def test_empty_packet_is_refused() -> None:
    with OpusDecoder() as decoder, pytest.raises(OpusPacketError, match="empty"):
        decoder.decode(b"")


def test_wrong_number_of_samples_says_who_buffers() -> None:
    with OpusEncoder(8000, 60) as encoder, pytest.raises(OpusError, match=r"\[2880\] int16.*caller buffers"):
        encoder.encode(np.zeros(2879, np.int16))


@pytest.mark.parametrize(("bitrate_bps", "packet_ms"), [(8000, 30), (8000, 0), (500, 60), (1_000_000, 60)])
def test_settings_out_of_range(bitrate_bps: int, packet_ms: int) -> None:
    with pytest.raises(OpusError, match="must be"):
        OpusEncoder(bitrate_bps, packet_ms)


@pytest.mark.parametrize("rate", [0, 44_100, 96_000])
def test_sample_rates_that_opus_does_not_know(rate: int) -> None:
    with pytest.raises(OpusError, match=f"{rate} Hz"):
        OpusEncoder(8000, 60, sample_rate_hz=rate)
    with pytest.raises(OpusError, match=f"{rate} Hz"):
        OpusDecoder(rate)


def test_closed_objects_refuse_work_instead_of_touching_freed_memory() -> None:
    encoder, decoder = OpusEncoder(8000, 60), OpusDecoder()
    for item in (encoder, decoder):
        item.close()
        item.close()
        with pytest.raises(OpusError, match="closed"):
            item.reset()
    with pytest.raises(OpusError, match="closed"):
        encoder.encode(np.zeros(2880, np.int16))
    with pytest.raises(OpusError, match="closed"):
        decoder.decode(None, 960)


def test_state_is_freed_with_the_object_and_by_close(monkeypatch: pytest.MonkeyPatch) -> None:
    library = libopus.open_libopus(libopus.libopus_candidates())
    freed: list[str] = []
    destroy_encoder, destroy_decoder = library.encoder.destroy, library.decoder.destroy

    def count_encoder(state: ctypes.c_void_p) -> None:
        freed.append("encoder")
        destroy_encoder(state)

    def count_decoder(state: ctypes.c_void_p) -> None:
        freed.append("decoder")
        destroy_decoder(state)

    monkeypatch.setattr(library.encoder, "destroy", count_encoder)
    monkeypatch.setattr(library.decoder, "destroy", count_decoder)
    encoder = OpusEncoder(8000, 60, library=library)
    del encoder
    gc.collect()
    decoder = OpusDecoder(library=library)
    decoder.close()
    del decoder
    gc.collect()
    assert freed == ["encoder", "decoder"]
