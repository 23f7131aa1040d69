"""Train the lip expert on prepared clips and put it to the gate: `python -m training.lip_expert.train --help`.

InfoNCE: lips must pick their own sound among the same stretch's other moments (3 frames and more away; nearer ones
do not count) and moments of other clips. A second term averages five neighbouring pairs, as the gate does with fifty.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from talkface_core.face_assets import save_asset
from talkface_core.output_path import output_file
from training.data.clip_format import read_manifest
from training.lip_expert.data import SpeechClip, SpeechStretches, load_speech_clips, training_records
from training.lip_expert.gate import GateResult, gate
from training.lip_expert.network import CODE_VERSION, SPEECH_POINTS, LipExpert, remove_pose
from training.small_nets.loop import TimedSchedule, train_small
from training.small_nets.run import SmallRun

NEAR_FRAMES = 3
"""Negatives of the same stretch are at least this far away."""
AVERAGED_FRAMES = 5
FOREIGN_NEGATIVES = 64


def set_reference(expert: LipExpert, clips: list[SpeechClip]) -> None:
    """The mean upright face of the clips, centred and of unit size, and the spread of its speech points."""
    first = clips[0].points.mean(dim=0)
    reference = (first - first.mean(dim=0)) / (first.amax(dim=0) - first.amin(dim=0)).max()
    for _ in range(3):
        reference = torch.stack([remove_pose(clip.points.mean(dim=0), reference) for clip in clips]).mean(dim=0)
    moves = [remove_pose(clip.points, reference)[:, list(SPEECH_POINTS)] for clip in clips]
    expert.lips.reference.copy_(reference)
    expert.lips.scale.copy_(torch.cat([m - m.mean(dim=0) for m in moves]).std())


def pick_own_moment(agreement: Tensor, foreign: Tensor | None) -> Tensor:
    """Cross entropy of choosing the diagonal of [B, T, T] (scaled), neighbours left out, [B, T, K] foreign added."""
    num = agreement.shape[1]
    distance = (torch.arange(num)[:, None] - torch.arange(num)[None]).abs()
    hidden = (distance > 0) & (distance < NEAR_FRAMES)
    logits = agreement.masked_fill(hidden, float("-inf"))
    if foreign is not None:
        logits = torch.cat([logits, foreign], dim=2)
    target = torch.arange(num).expand(len(logits), -1)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def expert_losses(lips: Tensor, sound: Tensor, temperature: Tensor, random: torch.Generator) -> dict[str, Tensor]:
    """Loss terms from unit vectors [B, T, E]."""
    agreement = lips @ sound.transpose(1, 2) / temperature  # [B, T, T]
    chosen = torch.randint(sound.shape[0] * sound.shape[1], (FOREIGN_NEGATIVES,), generator=random)
    foreign = lips @ sound.flatten(0, 1)[chosen].T / temperature
    # Moments of the own clip among the foreign ones would be half right: leave them out.
    own = (chosen // sound.shape[1])[None, :] == torch.arange(len(lips))[:, None]
    foreign = foreign.masked_fill(own[:, None], float("-inf"))
    kernel = torch.eye(AVERAGED_FRAMES)[None, None] / AVERAGED_FRAMES
    averaged = F.conv2d(agreement[:, None], kernel)[:, 0]
    return {
        "loss/lips_to_sound": pick_own_moment(agreement, foreign),
        "loss/sound_to_lips": pick_own_moment(agreement.transpose(1, 2), None),
        "loss/averaged": pick_own_moment(averaged, None),
    }


def train(
    expert: LipExpert,
    clips: list[SpeechClip],
    *,
    minutes: float,
    batch: int,
    num_frames: int,
    lr: float,
    seed: int,
    max_steps: int = 0,
) -> int:
    """Train in place for a wall time, or `max_steps` when above 0 and first; returns the number of steps."""
    set_reference(expert, clips)
    source = SpeechStretches(clips, num_frames=num_frames, seed=seed)
    random = torch.Generator().manual_seed(seed)

    def losses() -> dict[str, Tensor]:
        points, mel = source.batch(batch)
        lips = expert.embed_lips(points.flatten(0, 1)).unflatten(0, (batch, num_frames))
        sound = expert.embed_sound(mel.flatten(0, 1)[:, None]).unflatten(0, (batch, num_frames))
        return expert_losses(lips, sound, expert.log_temperature.clamp(-4, 0).exp(), random)

    run = SmallRun(expert, torch.optim.AdamW(expert.parameters(), lr=lr, weight_decay=0.02))
    schedule = TimedSchedule(lr=lr, minutes=minutes, warmup_steps=100, max_steps=max_steps)
    expert.train()
    train_small(run, schedule, losses, log=lambda text: print(text, flush=True))
    expert.eval()
    return run.num_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder (talkface prepare)")
    parser.add_argument("--out", type=output_file, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--leave-out-fold", type=int, help="train without this fold: an expert for measuring")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--batch", type=int, default=16, help="stretches per step")
    parser.add_argument("--frames", type=int, default=24, help="frames per stretch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    clips = load_speech_clips(args.data, training_records(args.data, args.leave_out_fold, args.folds))
    held_out = load_speech_clips(args.data, [r for r in read_manifest(args.data) if r.split == "val"])
    print(f"{len(clips)} clips to train on, {len(held_out)} held out", flush=True)
    expert = LipExpert()
    num_steps = train(
        expert, clips, minutes=args.minutes, batch=args.batch, num_frames=args.frames, lr=args.lr, seed=args.seed
    )
    save_asset(args.out, expert.state_dict(), kind="lip_expert", code_version=CODE_VERSION, config=expert.config)
    result: GateResult = gate(expert, held_out)
    print(f"{num_steps} steps; gate: {result.describe()}", flush=True)


if __name__ == "__main__":
    main()
