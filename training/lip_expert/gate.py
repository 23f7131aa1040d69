"""The gate of a lip expert: `python -m training.lip_expert.gate --data PREPARED`.

On clips it never saw, how often does the expert find the offset between lips and sound within +-1 frame from 2 s of
speech? Only an expert that does so in at least 60 % of the windows may be used in a loss (research: recipe, 3.7).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from training.data.clip_format import read_manifest
from training.lip_expert.data import SpeechClip, load_speech_clips
from training.lip_expert.network import (
    GATE_SHARE,
    GATE_TOLERANCE_FRAMES,
    GATE_WINDOW_FRAMES,
    LipExpert,
    lip_windows,
    load_lip_expert,
    offset_of_window,
)

SEARCH_FRAMES = 12
"""Offsets from -12 to 12 frames are tried: a 3 s clip has no more room around 2 s."""


@dataclass(frozen=True, slots=True)
class GateResult:
    num_windows: int
    share_found: float
    """Of windows with the offset within the tolerance; chance is 3 / 25 = 0.12."""
    median_offset_frames: float
    passed: bool

    def describe(self) -> str:
        verdict = "passed" if self.passed else "NOT passed"
        return (
            f"{verdict}: {100 * self.share_found:.1f} % of {self.num_windows} windows within "
            f"+-{GATE_TOLERANCE_FRAMES} frame (needed {100 * GATE_SHARE:.0f} %), median offset "
            f"{self.median_offset_frames:+.0f} frames"
        )


@torch.inference_mode()
def clip_offsets(expert: LipExpert, clip: SpeechClip, *, window_frames: int = GATE_WINDOW_FRAMES) -> list[int]:
    """Offsets found in every window of a clip, stepped by a quarter of a second; lips stay within the search range."""
    lips = expert.embed_lips(lip_windows(clip.points))
    sound = expert.embed_sound(clip.mel.float()[:, None])
    first, last = SEARCH_FRAMES, len(lips) - SEARCH_FRAMES - window_frames
    if last < first:  # a short clip: as long a window as there is room for
        first, last, window_frames = SEARCH_FRAMES, SEARCH_FRAMES, len(lips) - 2 * SEARCH_FRAMES
    return [
        offset_of_window(
            lips[start : start + window_frames],
            sound[start - SEARCH_FRAMES : start + window_frames + SEARCH_FRAMES],
            SEARCH_FRAMES,
        )
        for start in range(first, last + 1, 6)
    ]


def gate(expert: LipExpert, clips: list[SpeechClip]) -> GateResult:
    """Put an expert (in eval mode) to the gate on clips it has not seen."""
    offsets = [offset for clip in clips for offset in clip_offsets(expert, clip)]
    if not offsets:
        raise ValueError("the gate needs clips with sound that the expert has not seen (split val)")
    values = torch.tensor(offsets)
    share = (values.abs() <= GATE_TOLERANCE_FRAMES).float().mean().item()
    return GateResult(len(offsets), share, float(values.float().median()), share >= GATE_SHARE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder (talkface prepare)")
    parser.add_argument("--expert", default="lip_expert", help="weights (shipped)")
    parser.add_argument("--split", default="val", help="clips to test on")
    args = parser.parse_args()
    records = [r for r in read_manifest(args.data) if r.split == args.split]
    result = gate(load_lip_expert(args.expert), load_speech_clips(args.data, records))
    print(json.dumps(asdict(result)))
    print(result.describe())


if __name__ == "__main__":
    main()
