"""What a face does, not how it looks: how far mouth and eyes go, whether silence is quiet, how often it blinks.

All from landmarks, as numbers without a unit (shares of the eyes' distance or of an eye's width), so that they compare
across resolutions and people. Shapes: T frames at 25 per second, points [T, 68, 2] in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

FRAMES_PER_MINUTE = 25 * 60
BLINK_SHARE = 0.85
"""An eye is closed below this share of its usual opening. Our points never meet, whatever the eye does: in seven clips
of a person who blinked once in each, the least opening was 0.74 to 0.80 of the median."""
LONGEST_BLINK_FRAMES = 15
"""0.6 s. Eyes closed for longer are closed, not blinking."""
LEAST_OPENING = 0.02
"""Of the eyes' distance: a mouth that never opens wider says nothing."""
LEAST_CLOSING = 0.1
"""Eyes whose opening falls by less in the 95th percentile did not blink, or hardly."""
_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
_EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))


def mouth_opening(points: Tensor) -> Tensor:
    """Mean gap between the inner lips over the distance of the outer eye corners, [T]; 0 is closed."""
    upper, lower = (torch.tensor([pair[i] for pair in _INNER_LIPS], device=points.device) for i in (0, 1))
    gap = (points[:, lower] - points[:, upper]).norm(dim=-1).mean(-1)
    return gap / (points[:, 45] - points[:, 36]).norm(dim=-1).clamp_min(1e-6)


def eye_opening(points: Tensor) -> Tensor:
    """Eye aspect ratio (Soukupová and Čech, "Real-time eye blink detection using facial landmarks"), both eyes, [T]."""
    ratios = []
    for outer, top1, top2, inner, low2, low1 in _EYES:
        height = (points[:, top1] - points[:, low1]).norm(dim=-1) + (points[:, top2] - points[:, low2]).norm(dim=-1)
        ratios.append(height / (2 * (points[:, outer] - points[:, inner]).norm(dim=-1)).clamp_min(1e-6))
    return torch.stack(ratios).mean(0)


def blinks_per_minute(points: Tensor) -> float:
    """Closings of the eyes, up to 0.6 s long, per minute of video. People blink 10 to 30 times a minute.

    A clip shorter than a few seconds holds one or none: average over many.
    """
    opening = eye_opening(points)
    if len(opening) == 0:
        return 0.0
    closed = (opening < BLINK_SHARE * opening.median()).tolist()
    blinks, length = 0, 0
    for is_closed in [*closed, False]:
        if is_closed:
            length += 1
        else:
            blinks += 0 < length <= LONGEST_BLINK_FRAMES
            length = 0
    return blinks * FRAMES_PER_MINUTE / len(opening)


def correlation(a: Tensor, b: Tensor) -> float | None:
    """Pearson's r of two signals [T], over the frames both have; None when one of them does not move."""
    n = min(len(a), len(b))
    a, b = a[:n].double() - a[:n].double().mean(), b[:n].double() - b[:n].double().mean()
    size = float(a.norm() * b.norm()) if n > 1 else 0.0
    return float(a @ b) / size if size > 1e-9 else None


def silent_frames(samples: Tensor, num_frames: int, *, margin: int = 3, floor_db: float = -35.0) -> Tensor:
    """[T] bool: frames with no speech for `margin` frames on either side.

    Args:
        samples: [S] sound at 16 kHz, 640 samples per frame, any scale.
        floor_db: quieter than this below the clip's loudest frame is silence.
    """
    padded = torch.zeros(num_frames * 640, dtype=torch.float64)
    count = min(len(samples), len(padded))
    padded[:count] = samples[:count].double()
    energy = padded.view(num_frames, 640).square().mean(1)
    if float(energy.max()) <= 0:
        return torch.ones(num_frames, dtype=torch.bool)
    loud = (energy >= energy.max() * 10 ** (floor_db / 10)).double()
    near = torch.nn.functional.max_pool1d(loud[None, None], 2 * margin + 1, 1, margin)[0, 0]
    return near == 0


def mouth_amplitude(real_points: Tensor, fake_points: Tensor) -> float | None:
    """95th percentile of the drawn mouth's opening over that of the true one; 1 is right, None when it stays shut."""
    wide = [float(mouth_opening(p).quantile(0.95)) for p in (real_points, fake_points)]
    return wide[1] / wide[0] if wide[0] >= LEAST_OPENING else None


def eye_amplitude(real_points: Tensor, fake_points: Tensor) -> float | None:
    """How far the drawn eyes close over how far the true ones do; 1 is right, None when the true ones stay open.

    The closing of a frame is 1 - opening / median opening of the clip; its 95th percentile is compared.
    """
    closings = [float((1 - o / o.median()).quantile(0.95)) for o in map(eye_opening, (real_points, fake_points))]
    return closings[1] / closings[0] if closings[0] >= LEAST_CLOSING else None


def silence_leak(real_opening: Tensor, fake_opening: Tensor, quiet: Tensor) -> float | None:
    """How far the drawn mouth stands open beyond the true one while nobody speaks; 0 is right, lower is better.

    Mean over quiet frames of max(0, drawn - true) over the 95th percentile of the true opening of the whole clip, so
    that a mouth that hangs open counts as one that chatters; None when no frame is quiet or the true mouth stays shut.

    Args:
        real_opening, fake_opening: [T] of `mouth_opening`.
        quiet: [T] bool, frames without a voice (`speech.quiet_frames`).
    """
    wide = float(real_opening.quantile(0.95))
    if not bool(quiet.any()) or wide < LEAST_OPENING:
        return None
    return float((fake_opening - real_opening)[quiet].clamp_min(0).mean()) / wide
