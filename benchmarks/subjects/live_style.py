"""One camera picture: the face is found or followed, and E_style reads it.

The camera is a drawn face of the shipped weights, moving by their own recorded style, in a picture of 640 x 480.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.benchmark import CALLS_PER_TURN, Benchmark, Settings
from benchmarks.measurement import Outcome, Skip, Unit, measured
from benchmarks.timer import Case, take_turns, timed_ms
from talkface.cores import usable_cores
from talkface.side.parts import own_style_track
from talkface_core.face.model import FRAME_RATE, load_face_model
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.tracking.tracker import FaceTracker

FACE_WEIGHTS = "default"
"""Whose face is in the picture, whatever model looks at it."""
WIDTH_PX, HEIGHT_PX, FACE_PX = 640, 480, 360
NUM_PICTURES = 25


def run(settings: Settings) -> Iterator[Outcome]:
    """Both looks of the tracker, and the whole way, in turns."""
    pictures = camera_pictures(NUM_PICTURES)
    weights = settings.weights[0]
    tracker, finder = FaceTracker(frame_rate=float(FRAME_RATE)), FaceTracker(frame_rate=float(FRAME_RATE))
    session = load_face_model(weights).style_encoder()
    if tracker.update(pictures[0]) is None:
        yield Skip(name="a camera picture", reason="the tracker does not see the drawn face")
        return
    endless = itertools.cycle(pictures)

    def find() -> None:
        finder.reset()
        finder.update(next(endless))

    rows = {
        "face found in the whole picture": find,
        "face followed": lambda: tracker.update(next(endless)),
        "picture to style values": lambda: session.encode_frame(next(endless)),
    }
    threads_before = torch.get_num_threads()
    torch.set_num_threads(max(1, usable_cores() // 2))  # as a side of a call does
    try:
        cases = [Case(timed_ms(call)) for call in rows.values()]
        timings = take_turns(cases, rounds=settings.rounds, calls=CALLS_PER_TURN)
    finally:
        torch.set_num_threads(threads_before)
    for name, timing in zip(rows, timings, strict=True):
        yield measured(name, timing.samples, Unit.MILLISECONDS, {"weights": weights})


def camera_pictures(count: int) -> list[NDArray[np.uint8]]:
    """[480, 640, 3] uint8 RGB each: a face that moves, in front of a dim wall."""
    model = load_face_model(FACE_WEIGHTS)
    renderer = model.renderer(model.default_identity())
    track = own_style_track(FACE_WEIGHTS)
    silence = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    wall = np.random.default_rng(0).integers(60, 80, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    top, left = (HEIGHT_PX - FACE_PX) // 2, (WIDTH_PX - FACE_PX) // 2
    pictures = []
    for index in range(count):
        drawn = renderer.render(silence, None if track is None else track.at(index / float(FRAME_RATE)))
        picture = wall.copy()
        face = Image.fromarray(drawn).resize((FACE_PX, FACE_PX), Image.Resampling.BICUBIC)
        picture[top : top + FACE_PX, left : left + FACE_PX] = np.asarray(face)
        pictures.append(picture)
    return pictures


BENCHMARK = Benchmark("live_style", "Style from a camera picture", run)
