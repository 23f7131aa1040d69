"""A run's averaged weights to the face model that a call loads, with style tables fitted to the data and an identity.

Style values are divided by their deviation on the training clips, so that the wire's step is in units of sigma.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.face.networks import FaceNetworks
from talkface_core.interfaces import FaceIdentity
from talkface_core.module_fill import fill_module
from talkface_core.style.quantiser import STEP_DENOMINATOR
from talkface_core.style.tables import fit_style_tables
from talkface_core.style.track import StyleTrack
from talkface_core.weights import STYLE_TRACK_NAME, FaceWeights, save_face_weights
from training.checkpoint import checkpoint_meta, latest_checkpoint, load_checkpoint, trained_against
from training.config import ModelConfig, TrainConfig
from training.config_values import from_dict
from training.data.clip_format import Clip, ClipRecord, read_clip, read_manifest
from training.data.clip_store import resize_clip, spread
from training.networks import TrainNetworks, to_pictures
from training.reconstruct import raw_style_values
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
    """Most clips from which style statistics are taken, and most of the person's own for the reel."""


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
    fill_module(networks, checkpoint.under("ema"), f"{path}: ema", "use an earlier checkpoint")
    return config, networks.eval().requires_grad_(False), persons


def export_run(options: ExportOptions) -> str:
    """Write the face model; returns its sha256.

    Style statistics are the person's, or everybody's where an image encoder makes the identities. Besides the weights,
    `style_track.safetensors` gets the style of training clips of the person, one after the other: what drives head and
    eyes when nothing is captured.

    Raises:
        WeightsError, ValueError: run, data or person do not fit.
    """
    networks, persons = _load_networks(options)
    person = options.person or persons[0]
    if person not in persons:
        raise ValueError(f"--person {person!r} is not in the run; there are {', '.join(persons)}")
    by_picture = networks.identities.encoder is not None
    clips = choose_clips(options.data, person, options.max_clips, by_picture=by_picture)
    side = networks.config.model.resolution_px
    read = {r.name: resize_clip(read_clip(options.data, r), side) for r in (*clips.measured, *clips.reel, clips.face)}
    tracks = {r.name: raw_style_values(networks, read[r.name]).numpy() for r in (*clips.measured, *clips.reel)}
    scale = np.concatenate([tracks[r.name] for r in clips.measured]).std(axis=0).clip(1e-3).astype(np.float32)
    networks.faces.style_scale.copy_(torch.from_numpy(scale))
    # The quantiser's step of training, in the new unit, is what the networks are used to.
    steps = (networks.quantiser.steps.numpy() / scale * STEP_DENOMINATOR).round().clip(8, 8 * STEP_DENOMINATOR)
    sigma_tracks = {name: (track / scale).astype(np.float32) for name, track in tracks.items()}
    tables = fit_style_tables(
        [at_rate(sigma_tracks[r.name]) for r in clips.measured],
        steps_64ths=tuple(int(s) for s in steps),
        refresh_every=max(1, round(STYLE_HZ)),
        lips_share=1.0 - 1e-3,
    )
    weights = FaceWeights(
        name=options.name,
        networks=_without_mapping(networks.faces),
        tables=tables,
        identity=_identity(networks, persons.index(person), read[clips.face.name]),
        image_encoder=networks.identities.encoder,
        notes=dict(options.notes),
        trained_against=_trained_against(options),
    )
    digest = save_face_weights(options.out, weights)
    reel = chain_tracks([sigma_tracks[r.name] for r in clips.reel])
    StyleTrack(reel, Fraction(25)).save(options.out / STYLE_TRACK_NAME)
    return digest


def _trained_against(options: ExportOptions) -> tuple[str, ...]:
    """Networks that were losses of the run or of the one that is blended in."""
    runs = [options.run] if options.blend is None else [options.run, options.blend]
    names: set[str] = set()
    for run in runs:
        path = latest_checkpoint(run / "checkpoints")
        # The checkpoint knows what its start was trained against; one from before it said so has its config at least.
        names |= set() if path is None else trained_against(checkpoint_meta(path))
        names |= from_dict(json.loads((run / "config.json").read_text())).trained_against
    return tuple(sorted(names))


def _load_networks(options: ExportOptions) -> tuple[TrainNetworks, list[str]]:
    """The run's averaged networks, another run blended in where that is asked for, and the persons."""
    config, networks, persons = load_run(options.run)
    if not config.style.enabled:
        # Never trained: d must be 0, as it was while the rest was.
        for parameter in networks.faces.style_decoder.parameters():
            parameter.zero_()
    if options.blend is None:
        return networks, persons
    other_config, other, other_persons = load_run(options.blend)
    if other_config.model != config.model or other_persons != persons:
        raise ValueError(f"--blend {options.blend}: another model or other persons than {options.run}")
    if other.faces.style_settings != networks.faces.style_settings:
        raise ValueError(f"--blend {options.blend}: another style.mask_mouth or style.center than {options.run}")
    blend_into(networks, other, options.blend_share)
    return networks, persons


@dataclass(frozen=True, slots=True)
class ExportClips:
    """Which training clips an export looks at."""

    measured: list[ClipRecord]
    """Style statistics are taken from these."""
    reel: list[ClipRecord]
    """The recorded style is made of these."""
    face: ClipRecord
    """Its first frame is the identity's picture."""


def choose_clips(folder: Path, person: str, max_clips: int, *, by_picture: bool) -> ExportClips:
    """Clips of a person, and for the statistics of everybody where pictures make the identities.

    Args:
        folder: prepared clips.
        max_clips: most of each list; far apart in the manifest where there are more.
        by_picture: an image encoder makes the identity from the person's picture.

    Raises:
        ValueError: nothing with sound to measure, or no picture of the person where one is needed.
    """
    train = [r for r in read_manifest(folder) if r.split == "train"]
    moving = [r for r in train if r.has_sound and r.num_frames >= MIN_FRAMES]
    if not moving:
        raise ValueError(f"{folder} holds no training clip with sound to take style statistics from")
    own = [r for r in moving if r.person == person]
    # A person of stills alone has a face to show, and no style.
    pictured = own or [r for r in train if r.person == person]
    if by_picture and not pictured:
        raise ValueError(f"{folder} holds no training clip of {person!r}, whose face is asked for: choose by --person")
    measured = moving if by_picture else own or moving
    return ExportClips(_far_apart(measured, max_clips), _far_apart(own or moving, max_clips), (pictured or moving)[0])


def _far_apart(records: Sequence[ClipRecord], count: int) -> list[ClipRecord]:
    return [records[i] for i in sorted(spread(len(records), count))]


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
    small = FaceNetworks(dataclasses.replace(faces.config, mapping_layers=1), faces.style_settings)
    kept = {n: t for n, t in faces.state_dict().items() if not n.startswith(MAPPING)}
    mean_latent = faces.generator.mapping.mean_latent
    fill_module(small, {**small.state_dict(), **kept}, "export", "use an earlier checkpoint")
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
