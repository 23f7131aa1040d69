"""Measure a face model on prepared clips: Table I's columns and more, per clip and on average, as one JSON report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.face.model import TalkfaceModel
from talkface_core.interfaces import FaceIdentity
from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet, load_landmark_net
from training.data.clip_format import Clip, ClipRecord, read_clip, read_manifest
from training.data.clip_store import resize_frames
from training.evaluate.clip import (
    Judges,
    Measured,
    Mode,
    Truth,
    clip_style,
    draw_clip,
    listen_to,
    look_at,
    measure_clip,
)
from training.evaluate.pictures import write_contact_sheet, write_side_by_side
from training.evaluate.through_wire import WireSettings
from training.metrics import (
    FeatureStatistics,
    StyleBits,
    Unavailable,
    face_signature,
    frames_to_unit,
    frechet_distance,
    recognised_share,
)
from training.metrics.inception import load_fid_features
from training.metrics.lip_sync_error import load_lip_sync_scorer
from training.metrics.own_features import OwnFeatureScores

NO_FACE_RECOGNISER = "there is no face recognition network here; own_feature_similarity compares our own features"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What the command line says."""

    data: Path
    """Prepared folder."""
    split: str | None = None
    """Clips of this split; None: "val" where there are such, else all."""
    modes: tuple[Mode, ...] = (Mode.LIVE, Mode.AUDIO, Mode.REFERENCE)
    wire: WireSettings | None = None
    max_clips: int = 0
    """0: all."""
    own_faces: bool = False
    """Give every clip the face of its own first frame, by E_image, instead of one identity."""
    runtime: str = "auto"
    inception: Path | None = None
    syncnet: Path | None = None
    pictures: Path | None = None
    """Folder for side-by-side videos and the contact sheet; None: none."""
    num_videos: int = 3


def evaluate(
    model: TalkfaceModel,
    identity: FaceIdentity | None,
    options: EvaluateOptions,
    *,
    log: Callable[[str], None] = print,
    landmarks: LandmarkNet | None = None,
) -> dict[str, Any]:
    """Draw and measure every clip in every mode.

    Args:
        identity: whose face; None: the model's own, or with `options.own_faces` each clip's.
        landmarks: measuring network; the shipped one when None.

    Returns:
        The report, JSON values only: "modes" holds means, "missing" reasons, "clips" the single values.

    Raises:
        ValueError: no clip to measure, or weights given by path are wrong.
        WeightsError: own faces are asked for and the model has no image encoder.
    """
    records = choose_records(read_manifest(options.data), options.split, options.max_clips)
    network = (landmarks or load_landmark_net()).eval()
    judges = Judges(
        points=lambda frames: find_points(network, frames),
        inception=load_fid_features(options.inception),
        lip_sync=load_lip_sync_scorer(options.syncnet),
    )
    renderer = model.renderer(identity or model.default_identity(), runtime=options.runtime)
    renderer.warm_up()
    wire = options.wire
    report: dict[str, Any] = {
        "weights": {"name": model.info.name, "sha256": model.info.weights_sha256, "code": model.info.code_version},
        "resolution_px": model.info.resolution_px,
        "runtime": renderer.runtime,
        "identity": "own" if options.own_faces else "one",
        "through_wire": None if wire is None else {**asdict(wire), "style_hz": float(wire.style_hz)},
        "landmarks": "talkface landmark network, pixels of a 256 px crop, mean points of both sets laid on one another",
        "num_clips": len(records),
        "modes": {},
        "missing": {},
        "clips": [],
    }
    reference = _reference_clips(records)
    sums = {mode: _ModeSums(network) for mode in options.modes}
    kept: dict[Mode, list[NDArray[np.uint8]]] = {mode: [] for mode in options.modes}
    truth: list[Clip] = []
    shown = spread(len(records), options.num_videos)
    began = time.monotonic()
    for number, record in enumerate(records, 1):
        seen = look_at(model, read_clip(options.data, record), judges)
        if options.own_faces:
            first = resize_frames(seen.clip.frames[:1], model.info.resolution_px)[0]
            renderer = model.renderer(model.encode_portrait(first), runtime=options.runtime)
        if number - 1 in shown:
            truth.append(seen.clip)
        for mode in options.modes:
            other, heard = None, None
            if mode in (Mode.REFERENCE, Mode.SWAPPED):
                second = read_clip(options.data, reference[record.name])
                if mode is Mode.REFERENCE:
                    other = clip_style(model, second)
                else:
                    heard = listen_to(model, second, judges)
            drawn = draw_clip(
                renderer,
                model,
                seen.clip,
                mode,
                own_style=seen.style,
                wire=wire,
                reference=other,
                samples=None if heard is None else heard.clip.samples,
                bits=sums[mode].bits,
            )
            measured = measure_clip(seen, drawn, judges, heard)
            sums[mode].add(measured, seen, frames_to_unit(drawn), judges)
            report["missing"] |= measured.missing
            report["clips"].append({"clip": record.name, "mode": str(mode), **measured.values})
            if number - 1 in shown:
                kept[mode].append(drawn)
        left = (time.monotonic() - began) / number * (len(records) - number)
        log(f"[{number}/{len(records)}] {record.name}  {left:.0f} s left")
    if isinstance(judges.inception, Unavailable):
        report["missing"]["fid"] = judges.inception.reason
    report["missing"]["identity_similarity"] = NO_FACE_RECOGNISER
    report["missing"]["recognised"] = "the clips show one person"
    report["modes"] = {str(mode): sums[mode].means() for mode in options.modes}
    # A reason that holds for some clips is none for a mean over the others.
    means = report["modes"].values()
    report["missing"] = {n: why for n, why in report["missing"].items() if any(m.get(n) is None for m in means)}
    report["seconds"] = time.monotonic() - began
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
        rows = [kept[mode] for mode in options.modes]
        write_side_by_side(options.pictures, truth, rows, [str(m) for m in options.modes])
        write_contact_sheet(options.pictures / "contact_sheet.png", truth, rows)
        log(f"side-by-side videos and contact_sheet.png are in {options.pictures}")
    return report


class _ModeSums:
    """What one mode collects over the clips."""

    def __init__(self, network: LandmarkNet) -> None:
        self.bits = StyleBits()
        self._own = OwnFeatureScores(lambda frames: own_features(network, frames))
        self._real, self._fake = FeatureStatistics(), FeatureStatistics()
        self._single: list[Measured] = []
        self._persons: list[str] = []
        self._signatures: tuple[list[Tensor], list[Tensor]] = ([], [])

    def add(self, measured: Measured, seen: Truth, fake: Tensor, judges: Judges) -> None:
        """Take in one clip."""
        real = seen.frames
        self._single.append(measured)
        self._persons.append(seen.clip.person)
        # The true landmarks for both: a drawing without a face must not choose its own crop.
        for signatures, frames in zip(self._signatures, (fake, real), strict=True):
            signatures.append(face_signature(frames, seen.points))
        self._own.update(real, fake)
        if not isinstance(judges.inception, Unavailable):
            for part_real, part_fake in zip(real.split(16), fake.split(16), strict=True):
                self._real.update(judges.inception(part_real))
                self._fake.update(judges.inception(part_fake))

    def means(self) -> dict[str, float | None]:
        """Means over clips; FID and distances over all frames at once."""
        summary = {name: _mean([m.values[name] for m in self._single]) for name in self._single[0].values}
        summary |= self._own.compute()
        summary["identity_similarity"] = None
        summary["recognised"] = recognised_share(*self._signatures, self._persons)
        summary["fid"] = frechet_distance(self._real, self._fake) if self._real.count else None
        if self.bits.seconds > 0:
            summary |= {f"style_{layer}_kbps": value for layer, value in self.bits.kbps().items()}
        return summary


def choose_records(records: Sequence[ClipRecord], split: str | None, max_clips: int) -> list[ClipRecord]:
    """Clips to measure.

    Raises:
        ValueError: none of that split.
    """
    wanted = split if split is not None else ("val" if any(r.split == "val" for r in records) else None)
    chosen = [r for r in records if (wanted is None or r.split == wanted) and r.num_frames > 1]
    if not chosen:
        there = ", ".join(sorted({r.split for r in records}))
        raise ValueError(f"no clip of split {wanted!r} to evaluate; there are {there}: --split")
    return chosen[:max_clips] if max_clips else chosen


def spread(total: int, count: int) -> set[int]:
    """`count` of the numbers 0..total-1, far apart: neighbours by name often show one person in one shot."""
    count = min(count, total)
    return {(2 * i + 1) * total // (2 * count) for i in range(count)}


def _reference_clips(records: Sequence[ClipRecord]) -> dict[str, ClipRecord]:
    """For each clip another one whose style it gets: of the same person where there is one."""
    chosen = {}
    for i, record in enumerate(records):
        others = [*records[i + 1 :], *records[:i]]
        same = [r for r in others if r.person == record.person]
        chosen[record.name] = (same or others or [record])[0]
    return chosen


@torch.inference_mode()
def find_points(network: LandmarkNet, frames: Tensor, chunk: int = 32) -> Tensor:
    """[T, 3, R, R] in [0, 1] to [T, 68, 2] pixels, by the measuring network on the whole crop."""
    side = frames.shape[-1]
    parts = [network(_for_network(part)).points for part in frames.split(chunk)]
    return (torch.cat(parts) + 1) * (side / 2)


@torch.inference_mode()
def own_features(network: LandmarkNet, frames: Tensor, chunk: int = 32) -> Tensor:
    """[T, 3, R, R] to [T, C]: means of the landmark network's three deepest maps."""
    parts = []
    for part in frames.split(chunk):
        maps = network.encode(_for_network(part))
        parts.append(torch.cat([m.mean(dim=(2, 3)) for m in maps[2:]], dim=1))
    return torch.cat(parts)


def _for_network(frames: Tensor) -> Tensor:
    mode = "area" if frames.shape[-1] > CROP_PX else "bilinear"
    return torch.nn.functional.interpolate(frames * 2 - 1, size=(CROP_PX, CROP_PX), mode=mode)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(known)) if known else None


def write_report(path: Path, report: dict[str, Any]) -> None:
    """As JSON, in one step."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.replace(path)
