"""How good a drawn face is: picture, lips, realism, sharpness, steadiness, identity and bits.

Frames are [T, 3, H, W] float in [0, 1] (RGB), landmarks [T, 68, 2] in pixels. A metric that needs third-party
weights takes their path; without them the caller reports `Unavailable` with the reason, never a substitute under
the same name.
"""

from __future__ import annotations

from training.metrics.flicker import background_flicker, static_background_mask
from training.metrics.frechet import FeatureStatistics, frechet_distance
from training.metrics.image import MS_SSIM_LEAST_PX, ms_ssim, psnr, ssim, ssim_and_ms_ssim
from training.metrics.landmark_distance import FACE_POINTS, MOUTH_POINTS, landmark_distance
from training.metrics.recognition import face_signature, recognised_share
from training.metrics.result import Unavailable, frames_to_unit
from training.metrics.sharpness import box_around, high_band_ratio
from training.metrics.style_bits import StyleBits

__all__ = [
    "FACE_POINTS",
    "MOUTH_POINTS",
    "MS_SSIM_LEAST_PX",
    "FeatureStatistics",
    "StyleBits",
    "Unavailable",
    "background_flicker",
    "box_around",
    "face_signature",
    "frames_to_unit",
    "frechet_distance",
    "high_band_ratio",
    "landmark_distance",
    "ms_ssim",
    "psnr",
    "recognised_share",
    "ssim",
    "ssim_and_ms_ssim",
    "static_background_mask",
]
