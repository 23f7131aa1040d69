"""Weights and switches of the loss: equation 12 of the paper and what was added to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def require(holds: bool, name: str, problem: str) -> None:
    """A config's field is as it must be.

    Raises:
        ValueError: it is not; the message names field and problem.
    """
    if not holds:
        raise ValueError(f"{name}: {problem}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights λ of the terms; 0 leaves a term out altogether."""

    perceptual: float = 1.0
    """λ_perc of eq. 8."""
    adversarial: float = 0.1
    """λ_adv of eq. 9."""
    sync: float = 1.0
    """λ_sync of eq. 10; points in fractions of the frame's side."""
    contrastive: float = 0.05
    """λ_cont of eq. 11."""
    margin: float = 0.5
    """m of eq. 11, between unit vectors."""
    r1_gamma: float = 0.4
    """Weight γ/2 of R1; 0.0002 · resolution² / batch is a start."""
    gan: Literal["non_saturating", "relativistic"] = "non_saturating"
    """The game of G and D: eq. 9, or D says which of a true frame and its redrawing is the true one, with R1 and R2."""
    r1_interval: int = 16
    """R1 on every so many steps, weighted up by the same factor (lazy regularisation)."""
    pyramid_l1: float = 0.0
    """L1 at four resolutions (addition)."""
    laplacian: float = 0.0
    """L1 of Laplacian bands, against blur (addition)."""
    band_energy: float = 0.0
    """L1 of the local strength of detail, against blur where detail cannot be placed exactly (addition)."""
    squared: float = 0.0
    """Squared error, every pixel alike: for what is far off, such as a shoulder in another place (addition)."""
    focal_frequency: float = 0.0
    """Focal frequency loss: squared error of the Fourier transform, what is far off first (addition)."""
    watson: float = 0.0
    """Visible difference of local spectra, wherever a texture lies within 8 pixels (addition)."""
    feature_matching: float = 0.0
    """L1 of D's feature maps (addition)."""
    mouth_adversarial: float = 0.0
    """Adversarial loss on the mouth by a discriminator of its own; on eyes and mouth with model.discriminator projected
    (addition)."""
    temporal: float = 0.0
    """L1 of frame differences (addition); needs train.frames_per_clip of 2 or more."""
    rate: float = 0.0
    """Weight of style bits per frame (addition)."""
    identity: float = 0.0
    """Distance between the face recogniser's descriptors of the true and the drawn face (addition). The recogniser is
    then no judge of the result any more."""
    face_weight: float = 1.0
    """Pixel weight within the face in pyramid and Laplacian terms; the background has 1."""
    mouth_weight: float = 1.0
    """Pixel weight within the mouth's box."""
    eye_weight: float = 0.0
    """Pixel weight within the box of the eyes, so that blinks are drawn; 0: as `face_weight`."""
    sync_mouth_weight: float = 1.0
    """Weight of the 20 lip points in eq. 10; 1 is the paper."""
    sync_gated: bool = True
    """Weigh eq. 10 by how sure the landmark network is that a generated frame shows a face: points found in fog pull
    the picture apart. False is the paper."""
    sync_jaw_weight: float = 1.0
    """Weight of the 17 jaw points in eq. 10; 1 is the paper."""
    perceptual_backend: Literal["vgg16", "landmarks", "random_vgg16", "efficientnet_lite0", "face_recognition"] = (
        "landmarks"
    )
    """Feature network of eq. 8: VGG-16's last convolution (the paper; needs vgg16_weights), the maps of our landmark
    network, VGG-16 with seeded random weights, or a trained network that ships: EfficientNet-Lite0 on the whole
    picture (on windows too), or the face recogniser on the face. The last two are compared by relative L1."""
    perceptual_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Which stages of efficientnet_lite0 (1 to 7) or face_recognition (1 to 4) are compared; the first see detail, the
    last see things."""
    vgg16_weights: str = ""
    """Path of torchvision's VGG-16 weights."""

    def networks(self) -> tuple[str, ...]:
        """Kinds of trained networks that terms of this loss look through: no judges of what comes out."""
        from talkface_core.judges import face_recognition  # torch: --help need not wait for it

        used = {
            "landmarks": self.sync > 0 or self.contrastive > 0,
            "lip_expert": self.contrastive > 0,
            face_recognition.KIND: self.identity > 0,
        }
        if self.perceptual > 0 and self.perceptual_backend != "random_vgg16":
            used[self.perceptual_backend] = True
        return tuple(sorted(name for name, is_used in used.items() if is_used))

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, float):
                require(value >= 0, f"loss.{name}", f"must be 0 or more, not {value}")
        require(self.r1_interval >= 1, "loss.r1_interval", "must be 1 or more")
        require(
            self.perceptual_backend != "vgg16" or bool(self.vgg16_weights) or self.perceptual == 0,
            "loss.vgg16_weights",
            "the vgg16 backend needs a file: `talkface weights` fetches it, or choose "
            "--loss.perceptual_backend landmarks",
        )
        num_stages = 4 if self.perceptual_backend == "face_recognition" else 7
        require(
            bool(self.perceptual_stages) and all(1 <= s <= num_stages for s in self.perceptual_stages),
            "loss.perceptual_stages",
            f"must name one or more of the stages 1 to {num_stages}, not {self.perceptual_stages}",
        )
