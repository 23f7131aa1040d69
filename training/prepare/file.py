"""One video or picture to prepared clips: find the face in every tick, cut stretches, crop, check, write.

The file is decoded twice, a picture at a time: first to follow the face, then to cut the crops; so a long video needs
no more memory than its longest clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.sound.mel import SAMPLES_PER_FRAME
from talkface_core.style.input import face_crop
from talkface_core.tracking.alignment import CropSquare, cut
from training.data.clip_format import Clip, ClipRecord, write_clip
from training.prepare.av_offset import find_av_offset
from training.prepare.face_eye import FaceEye, SeenFace
from training.prepare.media_read import IMAGE_SUFFIXES, MediaError, OnJump, read_sound, read_ticks
from training.prepare.shot_check import Stretch, cut_to_length, fill_gaps, find_cuts, find_stretches, thumbnail
from training.prepare.sources import Source

FACES_EVERY_TICKS = 25
"""How often the number of faces is counted."""
SILENCE_LEVEL = 30.0
"""Root mean square in 16-bit units below which a clip has no sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRules:
    """What a clip must be."""

    resolution_px: int = 256
    min_s: float = 1.0
    """Shorter stretches are dropped."""
    max_s: float = 20.0
    """Longer stretches are cut into equal parts."""
    min_crop_px: float = 96.0
    """Smaller faces (side of the crop in the source) are dropped: they would only be enlarged."""
    keep_silent: bool = False
    """Keep clips without sound, for the generator's prior."""
    max_offset_frames: int = 6
    """Clips whose sound is clearly further off than this are dropped."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that did not become a clip."""

    source: str
    start_s: float
    reason: str


def prepare_file(source: Source, out: Path, rules: ClipRules, eye: FaceEye) -> tuple[list[ClipRecord], list[Dropped]]:
    """Clips of one file, written to `out`; what was dropped, and why. Never raises for what a file holds."""
    dropped: list[Dropped] = []

    def drop(start_s: float, reason: str) -> None:
        dropped.append(Dropped(source.relative, round(start_s, 2), reason))

    jumps: list[float] = []

    def jump(at_s: float, what: str) -> None:
        jumps.append(at_s)
        drop(at_s, what)

    try:
        seen = _watch(source.path, eye, jump)
        sound = read_sound(source.path, jump)
        if jumps:  # where one stream's time ends, the other's has nothing to be in step with
            seen = seen.until(int(min(jumps) * 25))
    except MediaError as error:
        drop(0.0, f"file {error}")
        return [], dropped
    is_still = source.path.suffix.lower() in IMAGE_SUFFIXES
    chosen = _choose(seen, rules, is_still, drop)
    plans = [p for p in (_plan(seen, s, rules, drop) for s in chosen) if p is not None]
    records = []
    for plan, frames in zip(plans, _crops(source.path, plans, rules.resolution_px), strict=False):
        record = _finish(source, plan, frames, sound, rules, is_still, eye, out, drop)
        if record is not None:
            records.append(record)
    return records, dropped


@dataclass(frozen=True, slots=True)
class _Seen:
    """First pass over a file."""

    faces: list[SeenFace | None]
    cuts: list[int]
    crowded: list[int]
    """Ticks with more than one face."""
    size: tuple[int, int]
    """Width and height of the pictures."""

    def until(self, tick: int) -> _Seen:
        """What was seen before that tick."""
        end = max(0, tick)
        cuts, crowded = ([t for t in ticks if t < end] for ticks in (self.cuts, self.crowded))
        return _Seen(self.faces[:end], cuts, crowded, self.size)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A clip to be cut."""

    stretch: Stretch
    square: CropSquare
    points: NDArray[np.float32]
    """[T, 68, 2] pixels of the crop."""
    found: NDArray[np.bool_]


def _watch(path: Path, eye: FaceEye, on_jump: OnJump) -> _Seen:
    faces: list[SeenFace | None] = []
    thumbnails: list[NDArray[np.float32]] = []
    crowded: list[int] = []
    size = (0, 0)
    eye.start()
    for tick in read_ticks(path, on_jump=on_jump):
        size = (tick.frame.shape[1], tick.frame.shape[0])
        if min(size) < 32:
            raise MediaError(f"has pictures of {size[0]}x{size[1]} pixels: too small")
        faces.append(eye.look(tick.frame))
        thumbnails.append(thumbnail(tick.frame))
        if tick.number % FACES_EVERY_TICKS == 0 and eye.count(tick.frame) > 1:
            crowded.append(tick.number)
    return _Seen(faces, find_cuts(thumbnails), crowded, size)


Drop = Callable[[float, str], None]


def _choose(seen: _Seen, rules: ClipRules, is_still: bool, drop: Drop) -> list[Stretch]:
    """Stretches with one face that are long enough."""
    has_face = [f is not None for f in seen.faces]
    if not any(has_face):
        drop(0.0, "no face in sight")
        return []
    jumps = [i for i, f in enumerate(seen.faces) if f is not None and f.is_new]
    chosen = []
    for stretch in find_stretches(has_face, seen.cuts, jumps):
        seconds = (stretch.last - stretch.first) / 25
        if not is_still and seconds < rules.min_s:
            drop(stretch.first / 25, f"too short: one face for {seconds:.2f} s, at least {rules.min_s} s needed")
            continue
        for part in cut_to_length(stretch, max(1, int(rules.max_s * 25))):
            # A second face counts for the second around the tick at which it was counted.
            if any(part.first - FACES_EVERY_TICKS < c < part.last for c in seen.crowded):
                drop(part.first / 25, "more than one face")
            else:
                chosen.append(part)
    return chosen


def _plan(seen: _Seen, stretch: Stretch, rules: ClipRules, drop: Drop) -> _Plan | None:
    """Crop and points of a stretch, or the reason why it cannot be used."""
    start = stretch.first / 25
    faces = seen.faces[stretch.first : stretch.last]
    points, found = fill_gaps([None if f is None else f.points for f in faces])
    crop = face_crop(points)
    if crop.side < rules.min_crop_px:
        drop(start, f"face too small: its crop has {crop.side:.0f} pixels, at least {rules.min_crop_px:.0f} needed")
        return None
    square = CropSquare.upright(crop.centre_x, crop.centre_y, crop.side)
    left, top = crop.centre_x - crop.side / 2, crop.centre_y - crop.side / 2
    width, height = seen.size
    inside_x = max(0.0, min(left + crop.side, width) - max(left, 0.0)) / crop.side
    inside_y = max(0.0, min(top + crop.side, height) - max(top, 0.0)) / crop.side
    if inside_x * inside_y < 0.7:
        drop(start, f"face at the picture's edge: {100 * (1 - inside_x * inside_y):.0f} % of the crop lies outside")
        return None
    in_crop = square.to_crop(points, rules.resolution_px).astype(np.float32)
    outside = ((in_crop < 0) | (in_crop > rules.resolution_px)).any(axis=(1, 2)).mean()
    if outside > 0.05:
        drop(start, f"face leaves the crop in {100 * outside:.0f} % of the frames: it moves too far for one crop")
        return None
    return _Plan(stretch, square, in_crop, found)


def _crops(path: Path, plans: Sequence[_Plan], size_px: int) -> Iterable[NDArray[np.uint8]]:
    """Second pass: the frames of each plan in turn (plans are in order and do not overlap)."""
    waiting = list(plans)
    frames: list[NDArray[np.uint8]] = []
    if not waiting:
        return
    for tick in read_ticks(path):
        plan = waiting[0]
        if tick.number < plan.stretch.first:
            continue
        frames.append(cut(tick.frame, plan.square, size_px))
        if tick.number == plan.stretch.last - 1:
            yield np.stack(frames)
            frames = []
            waiting.pop(0)
            if not waiting:
                return


def _finish(
    source: Source,
    plan: _Plan,
    frames: NDArray[np.uint8],
    sound: NDArray[np.int16] | None,
    rules: ClipRules,
    is_still: bool,
    eye: FaceEye,
    out: Path,
    drop: Drop,
) -> ClipRecord | None:
    """Sound, checks, files."""
    start = plan.stretch.first / 25
    count = len(frames)
    samples = np.zeros(count * SAMPLES_PER_FRAME, np.int16)
    if sound is not None:
        first = plan.stretch.first * SAMPLES_PER_FRAME
        part = sound[first : first + len(samples)]
        samples[: len(part)] = part
    has_sound = float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) >= SILENCE_LEVEL
    if not has_sound and not is_still and not rules.keep_silent:
        what = "no sound stream" if sound is None else "silent"
        drop(start, f"{what}: --keep-silent keeps it for the prior stage")
        return None
    offset: float | None = None
    if has_sound and count >= 25:
        found = find_av_offset(plan.points, samples)
        # In 4 % of 3 s clips that are in step, chance makes a clear peak somewhere else: hence two opinions.
        if found.is_clear and eye.confirms_offset(plan.points, samples, found.frames):
            offset = float(found.frames)
        if offset is not None and abs(offset) > rules.max_offset_frames:
            drop(start, f"sound off the lips: {offset:+.0f} frames (correlation {found.correlation:.2f})")
            return None
    name = source.name if plan.stretch.first == 0 else f"{source.name}_{plan.stretch.first:06d}"
    side = plan.square.side
    record = ClipRecord(
        name=name,
        person=source.person,
        split=source.split,
        num_frames=count,
        resolution_px=rules.resolution_px,
        source=source.relative,
        start_s=start,
        has_sound=has_sound,
        av_offset_frames=offset,
        crop=(plan.square.centre_x - side / 2, plan.square.centre_y - side / 2, side),
    )
    clip = Clip(name, source.person, frames, plan.points, samples, has_sound)
    write_clip(out, record, clip, plan.found)
    return record


def use_one_thread() -> None:
    """For worker processes: many of them share the cores."""
    torch.set_num_threads(1)
