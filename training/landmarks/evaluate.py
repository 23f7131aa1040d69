"""Measure the shipped landmark network and face finder against the teacher on people they never saw.

`python -m training.landmarks.evaluate --data DATA --teacher face_landmarker.task --report R.json`: frames of the clips
marked `split=test` are used for measuring only. Errors are means over frames of the distance to the teacher's
points over the distance of the outer eye corners (normalised mean error, lower is better), clips counting equally.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from talkface_core.output_path import output_file
from talkface_core.tracking.face_finder import FaceBox, FaceFinder, load_finder_net
from talkface_core.tracking.landmark_runtime import LandmarkRunner
from talkface_core.tracking.landmarks import (
    BROWS,
    EYES,
    INNER_LIPS,
    JAW,
    MOUTH,
    NOSE,
    OUTER_EYE_CORNERS,
    load_landmark_net,
)
from talkface_core.tracking.tracker import FaceTracker
from talkface_core.whole_file import write_whole
from training.landmarks.label import read_pictures
from training.landmarks.teacher import Teacher
from training.landmarks.textures import cloud, shapes, stripes

GROUPS: dict[str, Iterable[int]] = {
    "all": range(68),
    "mouth": MOUTH,
    "inner_lips": INNER_LIPS,
    "eyes": EYES,
    "nose": NOSE,
    "brows": BROWS,
    "jaw": JAW,
}
MATCH_OVERLAP = 0.4
"""Intersection over union from which a box counts as the teacher's face."""
TEACHER_PX = 640
"""The teacher's detector sees 128 pixels: larger pictures only cost time."""
SMALL_SHARES = (0.08, 0.12, 0.2, 0.35)
"""Heights of pasted faces, as shares of a 1280x720 picture."""


@dataclass(slots=True)
class Tally:
    """Counts of one clip."""

    errors: list[NDArray[np.float64]] = field(default_factory=list)
    """[68] per frame"""
    num_teacher: int = 0
    """Faces the teacher sees."""
    num_with_face: int = 0
    """Frames in which the teacher sees one."""
    num_found: int = 0
    num_tracked: int = 0
    num_extra: int = 0
    num_frames: int = 0


def teacher_box(points: NDArray[np.float32]) -> FaceBox:
    low, high = points.min(axis=0), points.max(axis=0)
    return FaceBox(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]), 1.0)


def point_errors(points: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """[68] distances over the distance of the outer eye corners."""
    right, left = OUTER_EYE_CORNERS
    unit = np.linalg.norm(truth[right] - truth[left])
    return np.linalg.norm(points - truth, axis=1).astype(np.float64) / unit


def reduced(picture: NDArray[np.uint8], longer_px: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((longer_px, longer_px), Image.Resampling.LANCZOS)
    return np.asarray(image).copy()


def measure_clip(
    pictures: Iterable[NDArray[np.uint8]], teacher: Teacher, finder: FaceFinder, runner: LandmarkRunner
) -> Tally:
    """Single frames of one clip, each searched afresh, as a tracker's first frame."""
    tally = Tally()
    tracker = FaceTracker(finder, runner)
    for picture in pictures:
        picture = reduced(picture, TEACHER_PX)
        tally.num_frames += 1
        truths = [face.points for face in teacher.find(picture)]
        boxes = finder.find(picture)
        tally.num_teacher += len(truths)
        tally.num_with_face += bool(truths)
        wanted = [teacher_box(points) for points in truths]
        tally.num_found += sum(any(b.overlap(w) >= MATCH_OVERLAP for b in boxes) for w in wanted)
        tally.num_extra += sum(all(b.overlap(w) < 0.1 for w in wanted) for b in boxes)
        tracker.reset()
        face = tracker.update(picture)
        if face is None or not truths:
            continue
        truth = max(truths, key=lambda points: teacher_box(points).overlap(face.box))
        if teacher_box(truth).overlap(face.box) >= MATCH_OVERLAP:
            tally.num_tracked += 1
            tally.errors.append(point_errors(face.raw_points, truth))
    return tally


def small_face_recall(
    faces: list[tuple[NDArray[np.uint8], FaceBox]], finder: FaceFinder, rng: np.random.Generator
) -> dict[str, float]:
    """Share found of strangers' pictures pasted small into 1280x720 scenes without a face."""
    recall = {}
    for share in SMALL_SHARES:
        num_found = 0
        for picture, box in faces:
            scale = share * 720 / box.height
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            patch = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
            scene = Image.fromarray((cloud(rng, 256) * 255).astype(np.uint8)).resize((1280, 720))
            x, y = int(rng.integers(0, max(1, 1281 - size[0]))), int(rng.integers(0, max(1, 721 - size[1])))
            scene.paste(patch, (x, y))
            wanted = FaceBox(box.x * scale + x, box.y * scale + y, box.width * scale, box.height * scale, 1.0)
            num_found += any(b.overlap(wanted) >= MATCH_OVERLAP for b in finder.find(np.asarray(scene)))
        recall[f"{share:.2f}"] = num_found / max(1, len(faces))
    return recall


def false_alarms(
    faces: list[tuple[NDArray[np.uint8], FaceBox]],
    finder: FaceFinder,
    runner: LandmarkRunner,
    rng: np.random.Generator,
) -> dict[str, int]:
    """Finds in pictures without a face: the left, right and lower parts of strangers' frames that miss the face, and
    textures. `confirmed` are those that the landmark network's score lets pass too."""
    pictures: list[NDArray[np.uint8]] = []
    for picture, box in faces:
        left, right = int(box.x - 0.25 * box.width), int(box.x + 1.25 * box.width)
        low = int(box.y + 1.2 * box.height)
        parts = (picture[:, : max(left, 0)], picture[:, right:], picture[low:])
        pictures += [np.ascontiguousarray(p) for p in parts if min(p.shape[:2]) >= 48]
    pictures += [(make(rng, 256).clip(0, 1) * 255).astype(np.uint8) for make in (cloud, stripes, shapes) * 60]
    num_found = sum(bool(finder.find(picture)) for picture in pictures)
    num_confirmed = sum(FaceTracker(finder, runner).update(picture) is not None for picture in pictures)
    return {"pictures": len(pictures), "found": num_found, "confirmed": num_confirmed}


def cpu_ms(finder: FaceFinder, runner: LandmarkRunner) -> dict[str, float]:
    """Processor time of one run, medians of 30: a busy machine disturbs it less than wall time."""
    crop, frame = torch.zeros(1, 3, 128, 128), np.full((720, 1280, 3), 127, dtype=np.uint8)

    def median(run: Callable[[], object]) -> float:
        times = []
        for _ in range(30):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        return round(1000 * float(np.median(times)), 2)

    return {
        f"landmarks_{runner.runtime}": median(lambda: runner(crop)),
        "finder_720p": median(lambda: finder.find(frame)),
    }


def summarise(tallies: dict[str, Tally]) -> dict[str, object]:
    """Means over clips, and the worst clips."""
    per_clip = {name: np.stack(t.errors).mean(axis=0) for name, t in tallies.items() if t.errors}
    table = np.stack(list(per_clip.values()))
    worst = sorted(per_clip, key=lambda name: -float(per_clip[name].mean()))[:5]
    return {
        "clips": len(tallies),
        "frames": sum(t.num_frames for t in tallies.values()),
        "nme_percent": {k: round(100 * float(table[:, list(v)].mean()), 2) for k, v in GROUPS.items()},
        "finder_recall": round(
            sum(t.num_found for t in tallies.values()) / max(1, sum(t.num_teacher for t in tallies.values())), 4
        ),
        "tracked_share": round(
            sum(t.num_tracked for t in tallies.values()) / max(1, sum(t.num_with_face for t in tallies.values())), 4
        ),
        "finder_extra_boxes": sum(t.num_extra for t in tallies.values()),
        "worst_clips_nme_percent": {name: round(100 * float(per_clip[name].mean()), 2) for name in worst},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder with manifest.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="face_landmarker.task")
    parser.add_argument("--landmarks", default="landmarks", help="landmark weights (shipped)")
    parser.add_argument("--finder", default="face_finder", help="finder weights (shipped)")
    parser.add_argument("--frames", type=int, default=12, help="frames per clip")
    parser.add_argument("--report", type=output_file, help="write the numbers as JSON")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    finder = FaceFinder(load_finder_net(args.finder))
    runner = LandmarkRunner(load_landmark_net(args.landmarks))
    with (args.data / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    tallies: dict[str, Tally] = {}
    faces: list[tuple[NDArray[np.uint8], FaceBox]] = []
    with Teacher(args.teacher, max_faces=4) as teacher:
        for row in rows:
            pictures = list(read_pictures(args.data / row["file"], args.frames))
            tallies[row["file"]] = measure_clip(pictures, teacher, finder, runner)
            for picture in (reduced(p, TEACHER_PX) for p in pictures[:: max(1, len(pictures) // 2)]):
                found = teacher.find(picture)
                # An overlaid portrait (VASA-1) is a second face: such a frame cannot be cut into face-free parts.
                if len(found) == 1 and "vasa" not in row["file"]:
                    faces.append((picture, teacher_box(found[0].points)))
    report = summarise(tallies) | {
        "small_face_recall": small_face_recall(faces, finder, rng),
        "false_alarms": false_alarms(faces, finder, runner, rng),
        "cpu_ms": cpu_ms(finder, runner),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.report, (text + "\n").encode())


if __name__ == "__main__":
    main()
