"""What each step of an identity file costs and buys: bytes, likeness to the picture, loss of packing.

    python -m benchmarks.identity_sizes PICTURE... [--steps 60]

Tunes the general weights to each picture and prints a Markdown table; progress on stderr. "like the picture" is PSNR of
the face drawn in the picture's own pose, in silence; "loss" is PSNR of the packed face against the exact one, at other
sounds and poses.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sender.sources.file_audio import read_all
from talkface.demo import SPEECH
from talkface.portrait import find_portrait, read_picture
from talkface.side.parts import own_style_track
from talkface_core.face.generator import Generator
from talkface_core.face.model import TalkfaceModel, load_face_model
from talkface_core.face.networks import base_latents
from talkface_core.identity.tuned import pack_tuned
from talkface_core.interfaces import FaceIdentity
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.style.input import face_crop
from talkface_core.tracking.alignment import CropSquare, cut
from training.likeness.one_picture import likeness_of_picture, sound_embeddings, style_latents, view_style
from training.likeness.tuning import TuningConfig
from training.likeness.views import View

NUM_OTHER_MOMENTS = 6
TOLERANCES = (0.0, 0.001, 0.02, 0.05, 0.2)


def psnr_db(a: Tensor, b: Tensor) -> float:
    """Of pictures in [-1, 1]."""
    return float(10 * torch.log10(4 / (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean()))


def portrait(path: Path, side_px: int) -> View:
    """The face of a picture as the models see it."""
    picture = read_picture(path)
    given = cut(picture, CropSquare.upright(*face_crop(find_portrait(path, picture))), side_px)
    return View(given, find_portrait(path, given))


def speech_16_khz() -> NDArray[np.int16]:
    """The demo's recording."""
    sound = read_all(SPEECH)
    slower: NDArray[np.int16] = sound[: len(sound) // 3 * 3].reshape(-1, 3).mean(axis=1).astype(np.int16)
    return slower


class Bench:
    """One model, and moments at which faces are compared."""

    def __init__(self) -> None:
        self.model: TalkfaceModel = load_face_model("general")
        self.base = self.model.weights.networks.generator
        track = own_style_track("general")
        assert track is not None
        rng = np.random.default_rng(5)
        sounds = rng.normal(0, 0.1, (NUM_OTHER_MOMENTS, WINDOW_SAMPLES)).astype(np.float32)
        styles = track.values[rng.choice(len(track.values), NUM_OTHER_MOMENTS)]
        self._others = sound_embeddings(self.model, sounds) + style_latents(self.model, styles)

    @torch.inference_mode()
    def draw(self, generator: Generator, face: FaceIdentity, moving: Tensor) -> Tensor:
        """[N, 3, R, R]"""
        ws = torch.from_numpy(base_latents(self.model.weights.networks.config, face))
        return torch.cat([generator.synthesis(ws + m[None, None]) for m in moving])

    def rows(self, given: View, steps: int) -> list[tuple[str, int, float, float | None]]:
        """Of each step and each tolerance: name, bytes, dB to the picture, dB to the exact face."""
        tuning = TuningConfig(seconds=36_000, max_steps=steps)
        face = likeness_of_picture(self.model, given, speech_16_khz(), tuning, num_views=8)
        own = sound_embeddings(self.model, np.zeros((1, WINDOW_SAMPLES), np.float32))
        own = own + style_latents(self.model, view_style(self.model, given)[None])
        picture = torch.from_numpy(given.picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        exact = self.draw(face.generator, face.identity, self._others)
        offsets = face.identity.layer_offsets
        assert offsets is not None  # tuning makes them
        stored = FaceIdentity(_as_stored(face.identity.z), _as_stored(offsets))
        num_z, latents = 2 * stored.z.size, 2 * (stored.z.size + offsets.size)
        sections = pack_tuned(self.base, face.generator)
        steps_of_file = {
            "z": (num_z, FaceIdentity(stored.z)),
            "offsets": (latents, stored),
            "detail": (latents + len(sections.detail), dataclasses.replace(stored, tuned=(sections.detail,))),
        }
        for tolerance in TOLERANCES:
            packed = pack_tuned(self.base, face.generator, tolerance=tolerance)
            total = latents + len(packed.detail) + len(packed.weights)
            both = dataclasses.replace(stored, tuned=(packed.detail, packed.weights))
            steps_of_file[f"weights, tolerance {tolerance:g}"] = (total, both)
        found: list[tuple[str, int, float, float | None]] = []
        for name, (size, identity) in steps_of_file.items():
            generator = self.model.networks_of(identity).generator
            like = psnr_db(self.draw(generator, identity, own), picture)
            found.append((name, size, like, psnr_db(self.draw(generator, identity, self._others), exact)))
        found.append(("exact, not packed", 0, psnr_db(self.draw(face.generator, face.identity, own), picture), None))
        return found


def _as_stored(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.astype("<f2").astype(np.float32)


def main() -> None:
    """Tune, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    of_all = []
    for path in wanted.pictures:
        of_all.append(bench.rows(portrait(path, bench.model.info.resolution_px), wanted.steps))
        print(f"{path.name}: done", file=sys.stderr, flush=True)
    print("| with | bytes so far | like the picture | loss |\n|---|---|---|---|")
    for same in zip(*of_all, strict=True):
        size, like = np.mean([row[1] for row in same]), [row[2] for row in same]
        losses = [row[3] for row in same if row[3] is not None]
        loss = f"{np.mean(losses):.1f} dB ({min(losses):.1f})" if losses else ""
        print(f"| {same[0][0]} | {size:.0f} | {np.mean(like):.2f} dB | {loss} |")


if __name__ == "__main__":
    main()
