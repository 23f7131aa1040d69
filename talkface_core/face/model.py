"""The face model that enters a call: everything behind `talkface_core.interfaces.FaceModel`.

`load_face_model` takes "default" (the weights of calls), "general" (the start for other faces), "tiny" (64 px, seeded
random weights, the same code: for tests and for trying a call), or the path of a weights folder.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.networks import FaceNetworks, base_latents, seeded_networks
from talkface_core.face.personal import personal_networks
from talkface_core.identity.tuned import read_tuned
from talkface_core.interfaces import STYLE_VALUES, FaceIdentity, FaceModelInfo
from talkface_core.runtime.choice import make_runtime
from talkface_core.runtime.interface import FrameRuntime
from talkface_core.shipped_weights import SHIPPED_WEIGHTS, shipped_weights_folder
from talkface_core.sound.mel import LOOKAHEAD_SAMPLES, PAST_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES, MelWindow
from talkface_core.style.codec import StyleCodecDecoder, StyleCodecEncoder
from talkface_core.style.input import SquareCrop
from talkface_core.style.session import CentredFace, FaceFollower, StyleEncoderSession
from talkface_core.tracking.tracker import FaceTracker
from talkface_core.weights import CODE_VERSION, CONFIG_NAME, FaceWeights, load_face_weights

FRAME_RATE = Fraction(25)
TINY_CONFIG = GeneratorConfig(resolution_px=64, channel_base=2048, channel_max=32, mapping_layers=2)
TINY_SEED = 1
_WARM_UP_FRAMES = 3


class Renderer:
    """`FaceRenderer`: mel picture of the window, then one graph."""

    def __init__(self, networks: FaceNetworks, identity: FaceIdentity, runtime: FrameRuntime) -> None:
        self._drawing = runtime
        self._mel = MelWindow()
        self._base_ws = base_latents(networks.config, identity)
        self._no_style = np.zeros((1, STYLE_VALUES), dtype=np.float32)
        self.runtime = runtime.name
        self.frames_at_once = runtime.frames_at_once

    def warm_up(self) -> None:
        silence = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
        for _ in range(_WARM_UP_FRAMES):
            self.render(silence, None)

    @torch.inference_mode()
    def render(self, audio: NDArray[np.float32], style: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        """See `FaceRenderer.render`.

        Raises:
            ValueError: audio is not [S] or style not [V]; the message holds both lengths.
        """
        if audio.shape != (WINDOW_SAMPLES,):
            raise ValueError(f"audio must be [{WINDOW_SAMPLES}] samples, not {list(audio.shape)}")
        if style is not None and style.shape != (STYLE_VALUES,):
            raise ValueError(f"style must be [{STYLE_VALUES}] values, not {list(style.shape)}")
        # A copy: the caller's array may be read-only or strided.
        mel = self._mel(torch.from_numpy(np.array(audio, dtype=np.float32)[None])).numpy()
        values = self._no_style if style is None else np.ascontiguousarray(style[None], dtype=np.float32)
        return self._drawing.draw(mel, values, self._base_ws)


class TalkfaceModel:
    """`FaceModel` over loaded weights.

    Args:
        is_synthetic: the weights are random: do not look for a face in frames, which need not show one.
    """

    def __init__(self, weights: FaceWeights, *, is_synthetic: bool = False) -> None:
        self.weights = weights
        self._is_synthetic = is_synthetic
        self._runtimes: dict[str, FrameRuntime] = {}
        config = weights.networks.config
        self.info = FaceModelInfo(
            name=weights.name,
            latent_dim=config.latent_dim,
            resolution_px=config.resolution_px,
            num_layers=config.num_layers,
            frame_rate=FRAME_RATE,
            sample_rate_hz=SAMPLE_RATE_HZ,
            audio_past_samples=PAST_SAMPLES,
            audio_lookahead_samples=LOOKAHEAD_SAMPLES,
            style_table_id=weights.tables.table_id,
            weights_sha256=weights.sha256,
            code_version=CODE_VERSION,
        )

    def default_identity(self) -> FaceIdentity:
        """The face that comes with the weights; without one, the mean face."""
        if self.weights.identity is not None:
            return self.weights.identity
        return FaceIdentity(self.weights.networks.generator.mapping.mean_latent.numpy().copy())

    @torch.inference_mode()
    def encode_portrait(self, picture: NDArray[np.uint8]) -> FaceIdentity:
        """E_image as one pass: the identity of the face in a picture.

        Args:
            picture: [R, R, 3] uint8 RGB, R = info.resolution_px, cut as `face_crop` says.

        Raises:
            ValueError: another shape or dtype.
            WeightsError: these weights were trained on one person and hold no image encoder.
        """
        side = self.info.resolution_px
        if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
            raise ValueError(f"a portrait must be [{side}, {side}, 3] uint8, not {list(picture.shape)} {picture.dtype}")
        if self.weights.image_encoder is None:
            raise WeightsError(
                f"weights {self.info.name!r} know one face and have no image encoder; use weights trained on many "
                "people, such as 'general'"
            )
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        z, offsets = self.weights.image_encoder(pixels)
        return FaceIdentity(z[0].numpy().copy(), None if offsets is None else offsets[0].numpy().copy())

    def style_encoder(
        self, follower: FaceFollower | None = None, *, crop: SquareCrop | None = None
    ) -> StyleEncoderSession:
        """A session for one video; the face is followed with the shipped networks unless a follower is given.

        Args:
            crop: the square that pictures are cut by already (`StyleEncoderSession`).
        """
        if follower is None:
            follower = CentredFace() if self._is_synthetic else FaceTracker(frame_rate=float(FRAME_RATE))
        return StyleEncoderSession(self.weights.networks, follower, crop=crop)

    def payload_encoder(self) -> StyleCodecEncoder:
        return StyleCodecEncoder(self.weights.tables)

    def payload_decoder(self) -> StyleCodecDecoder:
        return StyleCodecDecoder(self.weights.tables)

    def networks_of(self, identity: FaceIdentity) -> FaceNetworks:
        """The networks that draw this identity: the model's own, or with its tuned parts added.

        Raises:
            TunedPartError: the tuned parts are damaged or belong to other weights.
        """
        networks = self.weights.networks
        if not identity.tuned:
            return networks
        return personal_networks(networks, read_tuned(networks.generator, identity.tuned))

    def renderer(self, identity: FaceIdentity, *, runtime: str = "auto") -> Renderer:
        """See `FaceModel.renderer`; a runtime is compiled once per model and shared by its renderers.

        A tuned face has a generator of its own: its runtime is compiled for this renderer alone and ends with it.

        Raises:
            TunedPartError: the tuned parts are damaged or belong to other weights.
        """
        networks = self.weights.networks
        base_latents(networks.config, identity)  # refuse a wrong identity before compiling
        if identity.tuned:
            own = self.networks_of(identity)
            return Renderer(own, identity, make_runtime(runtime, own))
        if runtime not in self._runtimes:
            self._runtimes[runtime] = make_runtime(runtime, networks)
        return Renderer(networks, identity, self._runtimes[runtime])


def tiny_face_model() -> TalkfaceModel:
    """Seeded random weights at 64 px: no face to look at, but every step of the real model."""
    networks = seeded_networks(TINY_CONFIG, TINY_SEED)
    # Named by its recipe, not by its bits: the last bits of the mean latent differ between CPUs.
    digest = hashlib.sha256(f"talkface tiny {TINY_CONFIG} seed {TINY_SEED} code {CODE_VERSION}".encode()).hexdigest()
    return TalkfaceModel(FaceWeights(name="tiny", networks=networks, sha256=digest), is_synthetic=True)


def load_face_model(name_or_path: str | Path) -> TalkfaceModel:
    """A face model by name or path.

    Args:
        name_or_path: "default", "general", "tiny", or a weights folder or its config.json.

    Raises:
        WeightsError: missing or damaged; the message names the file and the fix.
        CheckpointMismatchError: made by another version.
    """
    if str(name_or_path) == "tiny":
        return tiny_face_model()
    return TalkfaceModel(load_face_weights(weights_folder(name_or_path)))


def weights_folder(name_or_path: str | Path) -> Path:
    """The folder (or config.json) of weights by name or path.

    Raises:
        WeightsError: this copy of the package lacks the weights of that name.
    """
    if str(name_or_path) not in SHIPPED_WEIGHTS:
        return Path(name_or_path)
    folder = shipped_weights_folder(str(name_or_path))
    if not (folder / CONFIG_NAME).exists():
        raise WeightsError(
            f"this copy of talkface holds no {name_or_path} weights; give a weights folder, or use 'tiny'"
        )
    return folder
