"""Where in a clip somebody speaks, by the voice and not by the noise: breath is loud above 1 kHz and quiet below.

Shapes: T frames at 25 per second, S samples at 16 kHz, 640 of them per frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from talkface_core.sound.mel import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

VOICE_HZ = (80, 900)
"""First harmonics and first formant."""
FLOOR_DB = -20.0
"""Quieter than this below the clip's loudest frame is no voice."""
LONGEST_PAUSE_FRAMES = 6
"""0.24 s: a longer gap ends the sentence."""


def voice_energy(samples: Tensor, num_frames: int) -> Tensor:
    """Energy within `VOICE_HZ` per frame, Hann window: [S] any scale to [T] float64; 0 beyond the end."""
    padded = torch.zeros(num_frames * SAMPLES_PER_FRAME, dtype=torch.float64)
    count = min(len(samples), len(padded))
    padded[:count] = samples[:count].double()
    window = torch.hann_window(SAMPLES_PER_FRAME, periodic=False, dtype=torch.float64)
    spectra = torch.fft.rfft(padded.view(num_frames, SAMPLES_PER_FRAME) * window).abs().square()
    hertz = torch.fft.rfftfreq(SAMPLES_PER_FRAME, 1 / SAMPLE_RATE_HZ)
    return spectra[:, (hertz >= VOICE_HZ[0]) & (hertz <= VOICE_HZ[1])].sum(dim=1)


def voiced_frames(samples: Tensor, num_frames: int) -> Tensor:
    """[T] bool: frames with a voice; none in a silent clip."""
    energy = voice_energy(samples, num_frames)
    return energy >= (energy.max() * 10 ** (FLOOR_DB / 10)).clamp_min(1e-12)


def speech_span(samples: Tensor, num_frames: int) -> tuple[int, int] | None:
    """First and last frame of the longest stretch with a voice and no long pause; None where nobody speaks."""
    voiced = voiced_frames(samples, num_frames).nonzero().flatten().tolist()
    if not voiced:
        return None
    spans = [[voiced[0], voiced[0]]]
    for frame in voiced[1:]:
        if frame - spans[-1][1] > LONGEST_PAUSE_FRAMES:
            spans.append([frame, frame])
        spans[-1][1] = frame
    first, last = max(spans, key=lambda span: span[1] - span[0])
    return first, last


def quiet_frames(samples: Tensor, num_frames: int, *, margin: int = 3) -> Tensor:
    """[T] bool: frames with no voice for `margin` frames on either side."""
    voiced = voiced_frames(samples, num_frames).double()
    near = torch.nn.functional.max_pool1d(voiced[None, None], 2 * margin + 1, 1, margin)[0, 0]
    return near == 0
