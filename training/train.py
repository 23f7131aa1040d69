"""Start or resume a run: `python -m training.train RECIPE --data DIR --out RUN`, or `talkface train` with the same.

Needs torch, numpy and safetensors only (PyAV or OpenCV to read clips), so that it also runs on a bare training
machine; under torchrun it trains data parallel.
"""

from __future__ import annotations

import argparse
import copy
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from talkface_core.output_path import output_folder
from training.config import TrainConfig
from training.config_values import apply_overrides
from training.data.clip_format import is_prepared
from training.data.shards import find_shards
from training.distributed import World, join_world
from training.freed_memory import keep_freed_memory
from training.lip_expert.contrastive_expert import gated_lip_expert
from training.loop import Run, open_run
from training.loss.feature_networks import load_feature_networks
from training.networks import TrainNetworks
from training.recipes import ABLATIONS, RECIPES, get_recipe
from training.stats import NonFiniteLossError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What the command line says."""

    recipe: str
    data: Path
    """Prepared folder, or WebDataset shards of one; a folder of raw video is prepared first, into the run's folder."""
    out: Path
    """The run's folder; when it holds a checkpoint the run goes on from there."""
    init: Path | None = None
    """Run folder or checkpoint of an earlier stage to start from."""
    ablate: str | None = None
    """"lipsync" or "videoref": leave that scheme out (Table II)."""
    device: str = "auto"
    dry_run: bool = False
    """Print the config and the networks, train nothing."""
    overrides: tuple[str, ...] = ()
    """"--section.field", "value", ..."""


def resolve_config(options: TrainOptions) -> TrainConfig:
    """Recipe, ablation and overrides together.

    Raises:
        ValueError: an unknown recipe, ablation or option.
    """
    config = get_recipe(options.recipe)
    if options.ablate is not None:
        if options.ablate not in ABLATIONS:
            raise ValueError(f"--ablate {options.ablate!r} is unknown; there are {', '.join(ABLATIONS)}")
        config = ABLATIONS[options.ablate](config)
    return apply_overrides(config, options.overrides)


def run_training(options: TrainOptions) -> Path:
    """Train to the end of the schedule; returns the run's folder.

    Raises:
        ValueError: options, data or checkpoints do not fit; CheckpointWriteError: the disk is full;
        NonFiniteLossError: a loss is not finite.
    """
    config = resolve_config(options)
    world = join_world(options.device)
    if world.device.type == "cpu":
        keep_freed_memory()
    try:
        if options.dry_run:
            world.log(summary(TrainNetworks(config, 1), config))
            return options.out
        data = _prepared_data(options, config, world)
        expert = gated_lip_expert(data, config.data, world.device, world.log) if config.loss.contrastive > 0 else None
        features = load_feature_networks(config.loss, world.device, expert)
        run: Run = open_run(config, data, options.out, features, world, options.init)
        world.log(summary(run.state.networks, config))
        # A batch system ends jobs with SIGTERM: save and stop as for Ctrl-C.
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            run.train()
        finally:
            signal.signal(signal.SIGTERM, previous)
    finally:
        world.close()
    return options.out


def _prepared_data(options: TrainOptions, config: TrainConfig, world: World) -> Path:
    """The prepared folder or shards; raw video is prepared on the way, by the main process."""
    if is_prepared(options.data) or find_shards(options.data):
        return options.data
    if not options.data.is_dir():
        raise ValueError(f"--data {options.data}: no such folder; give a prepared folder or one with video files")
    target = options.out / "prepared"
    if not is_prepared(target):
        if world.size > 1:
            raise ValueError(f"--data {options.data} is not prepared: run talkface prepare {options.data} DIR first")
        from training.prepare.run import PrepareOptions, prepare

        world.log(f"{options.data} is not prepared: preparing it into {target}")
        side = config.model.resolution_px
        prepare(PrepareOptions(source=options.data, out=target, resolution_px=max(side, 128)), log=world.log)
    return target


def summary(networks: TrainNetworks, config: TrainConfig) -> str:
    """Parameters, output shape, dtype and multiply-adds, one line per part."""
    from torch.utils.flop_counter import FlopCounterMode

    parts = {
        "G": networks.faces.generator.synthesis,
        "E_audio": networks.faces.audio_encoder,
        "E_style": networks.faces.style_encoder,
        "D": networks.discriminator,
        "D_mouth": networks.mouth_discriminator,
        "identities": networks.identities,
    }
    side = config.model.resolution_px
    device = next(networks.parameters()).device
    generator = copy.deepcopy(networks.faces.generator).requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        generator.render(torch.zeros(1, config.model.latent_dim, device=device))
    dtype = "bf16" if config.train.bf16 else "float32"
    lines = [f"recipe {config.recipe}: {side} px, weights float32, feature maps {dtype}"]
    for name, module in parts.items():
        if module is not None:
            lines.append(f"  {name:<11}{sum(p.numel() for p in module.parameters()) / 1e6:8.2f} M parameters")
    lines.append(f"  one frame [1, 3, {side}, {side}]: {counter.get_total_flops() / 2e9:.2f} G multiply-adds")
    return "\n".join(lines)


def parse_arguments(arguments: Sequence[str] | None = None) -> TrainOptions:
    """The command line without the app's dependencies."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=output_folder, required=True)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--ablate", choices=sorted(ABLATIONS))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--dry-run", action="store_true")
    known, overrides = parser.parse_known_args(arguments)
    return TrainOptions(**vars(known), overrides=tuple(overrides))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 with one line for errors a person can fix."""
    try:
        run_training(parse_arguments(arguments))
    except (ValueError, NonFiniteLossError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
