"""A run's averaged weights to the face model that a call loads, with style tables fitted to the data and an identity.

Style values are divided by their deviation on the training clips, so that the wire's step is in units of sigma.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.face.networks import FaceNetworks
from talkface_core.interfaces import FaceIdentity
from talkface_core.style.quantiser import STEP_DENOMINATOR
from talkface_core.style.tables import fit_style_tables
from talkface_core.style.track import StyleTrack
from talkface_core.weights import STYLE_TRACK_NAME, FaceWeights, save_face_weights
from training.checkpoint import latest_checkpoint, load_checkpoint
from training.config import ModelConfig, TrainConfig
from training.config_values import from_dict
from training.data.clip_format import Clip, read_clip, read_manifest
from training.networks import TrainNetworks, to_pictures
from training.reconstruct import raw_style_values
from training.state import fill_module
from training.style_reel import chain_tracks

MAPPING = "generator.mapping."
MIN_FRAMES = 28
"""Shorter clips say too little about how style moves from block to block."""
STYLE_HZ = Fraction(25, 3)
"""Style vectors per second that the tables are fitted to: one per 120 ms, as the default preset sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What the command line says."""

    run: Path
    """The run's folder."""
    data: Path
    """Prepared folder that the run trained on."""
    out: Path
    """Folder to write the weights to."""
    name: str = "talkface"
    person: str | None = None
    """Whose identity comes with the weights; None: the first person of the run."""
    blend: Path | None = None
    """Another run of the same lineage whose weights are averaged in (Wortsman et al. 2022, "Model soups")."""
    blend_share: float = 0.5
    """Its share, 0 to 1."""
    notes: tuple[tuple[str, str], ...] = ()
    """Licence, data, command: (key, text)."""
    max_clips: int = 60
    """Clips from which style statistics are taken."""


def load_run(run: Path) -> tuple[TrainConfig, TrainNetworks, list[str]]:
    """Config, averaged networks and persons of a run.

    Raises:
        WeightsError: the folder holds no run.
    """
    path = latest_checkpoint(run / "checkpoints")
    if path is None or not (run / "config.json").is_file():
        raise WeightsError(f"{run}: holds no finished checkpoint of a run; give the folder that training wrote")
    checkpoint = load_checkpoint(path)
    config = from_dict(json.loads((run / "config.json").read_text()))
    if ModelConfig(**checkpoint.meta["model"]) != config.model:
        raise WeightsError(f"{run}: config.json and {path.name} hold different models; train to a new folder")
    persons = [str(p) for p in checkpoint.meta["persons"]]
    networks = TrainNetworks(config, len(persons))
    networks.discriminator = networks.mouth_discriminator = None
    own = {n.removeprefix("ema/"): t for n, t in checkpoint.tensors.items() if n.startswith("ema/")}
    fill_module(networks, own, f"{path}: ema")
    return config, networks.eval().requires_grad_(False), persons


def export_run(options: ExportOptions) -> str:
    """Write the face model; returns its sha256.

    Style statistics are the person's, or everybody's where an image encoder makes the identities. Besides the weights,
    `style_track.safetensors` gets the style of training clips of the person, one after the other: what drives head and
    eyes when nothing is captured.

    Raises:
        WeightsError, ValueError: run, data or person do not fit.
    """
    config, networks, persons = load_run(options.run)
    if options.blend is not None:
        other_config, other, other_persons = load_run(options.blend)
        if other_config.model != config.model or other_persons != persons:
            raise ValueError(f"--blend {options.blend}: another model or other persons than {options.run}")
        blend_into(networks, other, options.blend_share)
    person = options.person or persons[0]
    if person not in persons:
        raise ValueError(f"--person {person!r} is not in the run; there are {', '.join(persons)}")
    records = [
        r for r in read_manifest(options.data) if r.split == "train" and r.has_sound and r.num_frames >= MIN_FRAMES
    ]
    if networks.identities.encoder is None:
        records = [r for r in records if r.person == person] or records
    if not records:
        raise ValueError(f"{options.data} holds no training clip with sound to take style statistics from")
    clips = [read_clip(options.data, r) for r in records[:: max(1, len(records) // options.max_clips)]]
    own_clips = [clip.person == person for clip in clips]
    tracks = [raw_style_values(networks, clip).numpy() for clip in clips]
    scale = np.concatenate(tracks).std(axis=0).clip(1e-3).astype(np.float32)
    networks.faces.style_scale.copy_(torch.from_numpy(scale))
    # The quantiser's step of training, in the new unit, is what the networks are used to.
    steps = (networks.quantiser.steps.numpy() / scale * STEP_DENOMINATOR).round().clip(8, 8 * STEP_DENOMINATOR)
    sigma_tracks = [(t / scale).astype(np.float32) for t in tracks]
    tables = fit_style_tables(
        [at_rate(t) for t in sigma_tracks],
        steps_64ths=tuple(int(s) for s in steps),
        refresh_every=max(1, round(STYLE_HZ)),
        lips_share=1.0 - 1e-3,
    )
    first = own_clips.index(True) if any(own_clips) else 0
    identity = _identity(networks, persons.index(person), clips[first])
    weights = FaceWeights(
        name=options.name,
        networks=_without_mapping(networks.faces),
        tables=tables,
        identity=identity,
        image_encoder=networks.identities.encoder,
        notes=dict(options.notes),
    )
    digest = save_face_weights(options.out, weights)
    reel = [track for track, is_own in zip(sigma_tracks, own_clips, strict=True) if is_own] or sigma_tracks
    StyleTrack(chain_tracks(reel), Fraction(25)).save(options.out / STYLE_TRACK_NAME)
    return digest


@torch.no_grad()
def blend_into(networks: TrainNetworks, other: TrainNetworks, share: float) -> None:
    """Average another run's weights in, in place.

    Runs that parted a short while ago lie in one basin, and what lies between them draws what lies between: a detail
    term that sharpened too much is taken back in part, without training again.

    Raises:
        ValueError: share is not within 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"--blend-share must be 0 to 1, not {share}")
    theirs = other.state_dict()
    for name, tensor in networks.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name], share)


def _without_mapping(faces: FaceNetworks) -> FaceNetworks:
    """The same networks with the smallest mapping network there is.

    m goes straight to G: no recipe trains or uses the mapping from StyleGAN's random z, 4 MB in eight layers.
    """
    small = FaceNetworks(dataclasses.replace(faces.config, mapping_layers=1))
    kept = {n: t for n, t in faces.state_dict().items() if not n.startswith(MAPPING)}
    mean_latent = faces.generator.mapping.mean_latent
    fill_module(small, {**small.state_dict(), **kept}, "export")
    small.generator.mapping.mean_latent.copy_(mean_latent)
    return small.eval().requires_grad_(False)


def at_rate(track: NDArray[np.float32]) -> NDArray[np.float32]:
    """[T, V] at 25 per second to the rate at which style is sent."""
    interval = float(Fraction(25) / STYLE_HZ)
    return track[np.arange(0, len(track), interval).astype(int)]


@torch.inference_mode()
def _identity(networks: TrainNetworks, person: int, clip: Clip) -> FaceIdentity:
    first = to_pictures(torch.from_numpy(clip.frames[:1].copy()).permute(0, 3, 1, 2))
    z, offsets = networks.identities(torch.tensor([person]), first)
    return FaceIdentity(z[0].numpy().copy(), None if offsets is None else offsets[0].numpy().copy())
