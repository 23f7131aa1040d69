"""Mel windows against another implementation, eq. 1's segments, and windows placed by sample time."""

from __future__ import annotations

import pytest
import torch
import torchaudio

from talkface_core.sound.audio_encoder import LOOKAHEAD_MS, AudioEncoder
from talkface_core.sound.mel import (
    LOOKAHEAD_SAMPLES,
    PAST_SAMPLES,
    SAMPLES_PER_FRAME,
    WINDOW_COLUMNS,
    WINDOW_SAMPLES,
    MelWindow,
    frame_window,
    mel_filters,
    num_segments,
)


def test_filters_equal_torchaudio() -> None:
    expected = torchaudio.functional.melscale_fbanks(513, 0.0, 8000.0, 80, 16_000, norm=None, mel_scale="htk")
    torch.testing.assert_close(mel_filters(), expected.t(), atol=2e-5, rtol=1e-4)


def test_spectrogram_equals_torchaudio() -> None:
    torch.manual_seed(0)
    windows = 0.1 * torch.randn(3, WINDOW_SAMPLES)
    spectrogram = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=1024, hop_length=256, n_mels=80, power=1.0, center=False, mel_scale="htk", norm=None
    )(windows)
    expected = (spectrogram.clamp(min=1e-5).log() + 6.0) / 3.0
    got = MelWindow()(windows)
    assert got.shape == (3, 1, 80, WINDOW_COLUMNS)
    torch.testing.assert_close(got[:, 0], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("window", "hop"), [(1024, 512), (1024, 256), (8, 3), (5, 5)])
def test_number_of_segments_is_that_of_equation_1(window: int, hop: int) -> None:
    """N = floor((L - w + l) / l) + 1: the segments that lie inside the waveform, and one that may run past its end."""
    for length in range(window, 5 * window, 7):
        inside = sum(1 for start in range(0, length, hop) if start + window <= length)
        assert num_segments(length, window, hop) == inside + 1
    assert num_segments(16_000, 1024, 512) == 31


def test_equation_1_segments_reach_from_l_minus_w_to_l_plus_w() -> None:
    """Eq. 1's A_i = {a_(l-w) .. a_(l+w)}: a window reaches w samples to both sides of its place; ours says how far."""
    assert PAST_SAMPLES + LOOKAHEAD_SAMPLES == WINDOW_SAMPLES
    waveform = torch.arange(1, 40 * SAMPLES_PER_FRAME + 1, dtype=torch.float32)
    window = frame_window(waveform, 20)
    place = 20 * SAMPLES_PER_FRAME
    assert window[0] == waveform[place - PAST_SAMPLES]
    assert window[PAST_SAMPLES] == waveform[place]
    assert window[-1] == waveform[place + LOOKAHEAD_SAMPLES - 1]


def test_windows_follow_the_sample_clock_without_drift() -> None:
    """A click at a frame's time is at the same place of its window after 10 frames and after 40 minutes of them."""
    waveform = torch.zeros(60_001 * SAMPLES_PER_FRAME)
    for frame in (10, 11, 1001, 60_000):
        waveform.zero_()
        waveform[frame * SAMPLES_PER_FRAME] = 1.0
        window = frame_window(waveform, frame)
        assert int(window.argmax()) == PAST_SAMPLES
        # Frames are 2.5 hops apart: rounding to whole hops would move every second window by half a hop.
        assert int(frame_window(waveform, frame - 1).argmax()) == PAST_SAMPLES + SAMPLES_PER_FRAME


def test_outside_of_the_waveform_is_silence() -> None:
    waveform = torch.ones(2000)
    first = frame_window(waveform, 0)
    assert not first[:PAST_SAMPLES].any()
    assert first[PAST_SAMPLES:].all()
    assert not frame_window(waveform, 1000).any()


def test_streaming_equals_offline_bit_by_bit() -> None:
    """The receiver cuts windows from a ring of recent samples; the trainer from whole files."""
    torch.manual_seed(0)
    waveform = 0.1 * torch.randn(16_000)
    mel = MelWindow()
    offline = torch.stack([mel(frame_window(waveform, f)[None])[0] for f in range(20)])
    ring = torch.zeros(WINDOW_SAMPLES)
    streamed, position = [], 0
    for frame in range(20):
        end = frame * SAMPLES_PER_FRAME + LOOKAHEAD_SAMPLES
        while position < end:  # samples arrive in odd pieces
            piece = waveform[position : min(position + 333, end)]
            ring = torch.cat([ring[len(piece) :], piece])
            position += len(piece)
        streamed.append(mel(ring[None])[0])
    assert torch.equal(torch.stack(streamed), offline)


def test_wrong_length_is_named() -> None:
    with pytest.raises(ValueError, match="8192 samples long, not 100"):
        MelWindow()(torch.zeros(1, 100))


def test_embedding_is_causal_up_to_the_published_lookahead() -> None:
    torch.manual_seed(0)
    assert LOOKAHEAD_MS <= 120
    encoder = AudioEncoder(latent_dim=32).eval()
    waveform = 0.1 * torch.randn(40 * SAMPLES_PER_FRAME)
    frame = 15
    cut = waveform.clone()
    cut[frame * SAMPLES_PER_FRAME + LOOKAHEAD_SAMPLES :] = 0.5  # everything later than the look-ahead
    windows = torch.stack([frame_window(w, frame) for w in (waveform, cut)])
    e = encoder(windows)
    assert torch.equal(e[0], e[1])
    cut[frame * SAMPLES_PER_FRAME + LOOKAHEAD_SAMPLES - 300 :] = 0.5  # and a little of it
    assert not torch.equal(e[0], encoder(frame_window(cut, frame)[None])[0])


def test_embeddings_do_not_depend_on_their_batch() -> None:
    torch.manual_seed(0)
    encoder = AudioEncoder(latent_dim=32).eval()
    windows = 0.1 * torch.randn(4, WINDOW_SAMPLES)
    torch.testing.assert_close(encoder(windows)[2:3], encoder(windows[2:3]), rtol=1e-4, atol=1e-5)
