"""Measure a face model on prepared clips: Table I's columns and more, per clip and on average, as one JSON report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkface_core.face.model import TalkfaceModel
from talkface_core.interfaces import FaceIdentity
from talkface_core.tracking.landmarks import LandmarkNet, load_landmark_net
from talkface_core.whole_file import write_whole
from training.data.clip_format import ClipRecord, read_clip, read_manifest
from training.data.clip_store import spread
from training.data.clip_video import ClipVideoError
from training.evaluate.clip import Heard, Judges, clip_style, draw_clip, listen_to, look_at, measure_clip
from training.evaluate.faces import FaceOptions, Faces
from training.evaluate.landmark_judge import find_points
from training.evaluate.likeness_judge import load_likeness_judge
from training.evaluate.mode_sums import ModeSums
from training.evaluate.pictures import Gallery
from training.evaluate.through_wire import WireSettings
from training.metrics import Unavailable, frames_to_unit
from training.metrics.inception import load_fid_features
from training.metrics.lip_sync_error import load_lip_sync_scorer
from training.mode import Mode


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
    faces: FaceOptions = field(default_factory=FaceOptions)
    """Whose face is drawn."""
    runtime: str = "auto"
    inception: Path | None = None
    syncnet: Path | None = None
    pictures: Path | None = None
    """Folder for side-by-side videos and the contact sheet; None: none."""
    num_videos: int = 3


class PicturesWriteError(OSError):
    """Pictures could not be written after all was measured.

    Args:
        folder: where they should have gone.
        error: what happened there.
        report: what was measured.
    """

    def __init__(self, folder: Path, error: Exception, report: dict[str, Any]) -> None:
        super().__init__(f"{folder}: pictures cannot be written ({error})")
        self.report = report


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
        identity: whose face, unless `options.faces` gives each clip its own; None: the model's.
        landmarks: measuring network; the shipped one when None.

    Returns:
        The report, JSON values only: "modes" holds means, "missing" reasons, "clips" the single values.

    Raises:
        ValueError: no clip to measure, or weights given by path are wrong.
        WeightsError: own faces are asked for and the model has no image encoder.
        PicturesWriteError: all is measured, and pictures cannot be written.
    """
    records = choose_records(read_manifest(options.data), options.split, options.max_clips)
    network = (landmarks or load_landmark_net()).eval()
    judges = Judges(
        points=lambda frames: find_points(network, frames),
        inception=load_fid_features(options.inception),
        lip_sync=load_lip_sync_scorer(options.syncnet),
        likeness=load_likeness_judge(),
    )
    faces = Faces(model, identity, options.faces, options.runtime, log)
    report = _begin_report(model, faces, options, len(records))
    second = _second_clips(records)
    sums = {mode: ModeSums(network) for mode in options.modes}
    gallery = Gallery(options.modes, spread(len(records), options.num_videos))
    began = time.monotonic()
    for index, record in enumerate(records):
        seen = look_at(model, read_clip(options.data, record), judges)
        gallery.add_truth(index, seen.clip)
        renderer = faces.renderer(seen.clip)
        for mode in options.modes:
            style, heard = _borrowed(model, mode, options.data, second[record.name], judges)
            drawn = draw_clip(
                renderer,
                model,
                seen.clip,
                mode,
                own_style=seen.style,
                wire=options.wire,
                reference=style,
                samples=None if heard is None else heard.clip.samples,
                bits=sums[mode].bits,
            )
            measured = measure_clip(seen, drawn, judges, heard)
            sums[mode].add(measured, seen, frames_to_unit(drawn), judges)
            report["missing"] |= measured.missing
            report["clips"].append({"clip": record.name, "mode": str(mode), **measured.values})
            gallery.add_drawn(index, mode, drawn)
        left = (time.monotonic() - began) / (index + 1) * (len(records) - index - 1)
        log(f"[{index + 1}/{len(records)}] {record.name}  {left:.0f} s left")
    for mode in options.modes:
        report["modes"][str(mode)], missing = sums[mode].means(report["trained_against"])
        report["missing"] |= missing
    _end_report(report, judges)
    report["seconds"] = time.monotonic() - began
    if options.pictures is not None:
        try:
            gallery.write(options.pictures)
        except (OSError, ClipVideoError) as error:
            raise PicturesWriteError(options.pictures, error, report) from error
        log(f"side-by-side videos and contact_sheet.png are in {options.pictures}")
    return report


def _begin_report(model: TalkfaceModel, faces: Faces, options: EvaluateOptions, num_clips: int) -> dict[str, Any]:
    """What is measured, without numbers yet."""
    wire = options.wire
    return {
        "weights": {"name": model.info.name, "sha256": model.info.weights_sha256, "code": model.info.code_version},
        "resolution_px": model.info.resolution_px,
        "runtime": faces.runtime,
        "identity": str(options.faces.whose),
        "through_wire": None if wire is None else {**asdict(wire), "style_hz": float(wire.style_hz)},
        "landmarks": "talkface landmark network, pixels of a 256 px crop, mean points of both sets laid on one another",
        "trained_against": sorted(faces.trained_against),
        "num_clips": num_clips,
        "modes": {},
        "missing": {},
        "clips": [],
    }


def _end_report(report: dict[str, Any], judges: Judges) -> None:
    """Give a reason to every mean that is null, and to no other."""
    reasons: dict[str, str] = report["missing"]
    if isinstance(judges.inception, Unavailable):
        reasons["fid"] = judges.inception.reason
    reasons["recognised_by_colours"] = "the clips show one person"
    means: dict[str, dict[str, float | None]] = report["modes"]
    # A reason that holds for some clips is none for a mean over the others.
    report["missing"] = {n: why for n, why in reasons.items() if any(m.get(n) is None for m in means.values())}


def _borrowed(
    model: TalkfaceModel, mode: Mode, folder: Path, second: ClipRecord, judges: Judges
) -> tuple[NDArray[np.float32] | None, Heard | None]:
    """What a mode takes from a second clip: its style [T', V], or its sound."""
    if mode is Mode.REFERENCE:
        return clip_style(model, read_clip(folder, second)), None
    if mode is Mode.SWAPPED:
        return None, listen_to(model, read_clip(folder, second), judges)
    return None, None


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


def _second_clips(records: Sequence[ClipRecord]) -> dict[str, ClipRecord]:
    """For each clip another one whose style or sound it gets: of the same person where there is one."""
    chosen = {}
    for i, record in enumerate(records):
        others = [*records[i + 1 :], *records[:i]]
        same = [r for r in others if r.person == record.person]
        chosen[record.name] = (same or others or [record])[0]
    return chosen


def write_report(path: Path, report: dict[str, Any]) -> None:
    """As JSON, in one step, folders included.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(report, indent=1) + "\n").encode())
