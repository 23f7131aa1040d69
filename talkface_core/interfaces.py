"""The one interface through which a face model enters a call: `FaceModel` and the objects it makes.

A call needs four things of a model: style values from camera frames (sender), style values to bytes and back
(both ends), and frames from sound, style and identity (receiver). Everything here is numpy: which runtime draws
(torch CPU, torch CUDA, OpenVINO) is the model's own business.

Shapes: V = 16 style values; S = audio window samples at 16 kHz; R = resolution in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

STYLE_VALUES = 16
"""Values of the style bottleneck per video frame: 12 of the base layer, then 4 of the lips layer."""
BASE_STYLE_VALUES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceModelInfo:
    """Constants that the model publishes so that callers do not recompute them."""

    name: str
    latent_dim: int
    resolution_px: int
    """Frames are resolution_px x resolution_px."""
    num_layers: int
    """Generator layers that take a latent: rows of an identity's optional per-layer offsets."""
    frame_rate: Fraction
    sample_rate_hz: int
    """Rate of the audio window; 16 000."""
    audio_past_samples: int
    """Samples of the window before the frame's time."""
    audio_lookahead_samples: int
    """Samples of the window from the frame's time on; at most 120 ms. S = past + look-ahead."""
    style_table_id: int
    """Identifies the integer tables of the style codec; both ends must agree. 0..255."""
    weights_sha256: str
    """Hex digest of the weights; goes into the handshake."""
    code_version: int


@dataclass(frozen=True, slots=True)
class FaceIdentity:
    """Who is drawn (paper III.D): z, and optionally what personal tuning adds to every layer."""

    z: NDArray[np.float32]
    """[latent_dim]"""
    layer_offsets: NDArray[np.float32] | None = None
    """[num_layers, latent_dim] static per-layer offsets, or None (the paper)."""
    tuned: tuple[bytes, ...] = ()
    """Packed differences to the generator's tensors (`talkface_core.identity`); a renderer checks them."""


class StyleSession(Protocol):
    """Camera frames to style values (paper III.E); causal, with state of its own."""

    def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """One RGB frame [H, W, 3] uint8, any size, whole picture. Returns [V] values in units of their standard
        deviation, or None when no face is in the frame."""
        ...


class StylePayloadEncoder(Protocol):
    """Style values to the payload of a style block; closed loop, one call per style block."""

    def encode(self, values: NDArray[np.float32], *, refresh: bool, with_lips: bool) -> bytes:
        """[V] values to bytes. `refresh` forces an absolute payload that needs no earlier one."""
        ...


class StylePayloadDecoder(Protocol):
    """Payloads to style values; exact on every machine (integers until the last multiply)."""

    def decode(self, payload: bytes, *, is_contiguous: bool) -> NDArray[np.float32] | None:
        """Payload to [V] values; lips values are 0 when that layer was not sent. `is_contiguous` is False when
        the payload before this one was lost. None while the decoder waits for a refresh.

        Raises:
            talkface_core.errors.StylePayloadError: the bytes are not a payload.
        """
        ...

    def reset(self) -> None:
        """Forget what came before; the next values come with the next refresh."""
        ...


class FaceRenderer(Protocol):
    """Draws frames for one identity; `render` may be called from several threads."""

    runtime: str
    """What draws, for reports: "openvino bf16", "torch cuda bf16", ..."""
    frames_at_once: int
    """Frames that are drawn faster side by side, each from a thread of its own, than one after the other."""

    def warm_up(self) -> None:
        """Run once with real shapes, so that the first real frame is as fast as the others."""
        ...

    def render(self, audio: NDArray[np.float32], style: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        """Draw one frame: m = e + z + d, G(m) (paper eq. 5 and 6).

        Args:
            audio: [S] float32 in [-1, 1], 16 kHz: the window of sound around the frame's time.
            style: [V] decoded style values, or None for d = 0.

        Returns:
            [R, R, 3] uint8 RGB.
        """
        ...


class FaceModel(Protocol):
    """A loaded set of weights."""

    info: FaceModelInfo

    def style_encoder(self) -> StyleSession: ...

    def payload_encoder(self) -> StylePayloadEncoder: ...

    def payload_decoder(self) -> StylePayloadDecoder: ...

    def renderer(self, identity: FaceIdentity, *, runtime: str = "auto") -> FaceRenderer:
        """runtime: "auto", "torch-cpu", "torch-cuda" or "openvino".

        Raises:
            talkface_core.errors.RuntimeUnavailableError: that runtime cannot run here; the message says why.
        """
        ...
