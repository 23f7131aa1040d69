"""`talkface train` and `talkface export`: train a face model, make weights of a run, compare ablations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.outputs import check_paths
from talkface.terminal import say
from talkface_core.shipped_weights import SHIPPED_WEIGHTS
from training.recipes import RECIPES


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)
    app.command("train-audio")(train_audio)
    app.command("export")(export)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainArguments(CheckedOptions):
    """What `talkface train` is asked to do; the fields of the config come beside it."""

    recipe: Annotated[str, Option(f"{', '.join(RECIPES)}.", is_argument=True)]
    data: Annotated[
        Path | None, Option("Prepared folder or its shards; raw video is prepared first.", path=PathUse.READ)
    ] = None
    out: Annotated[
        Path | None, Option("The run's folder; the same command goes on with it.", path=PathUse.WRITE_FOLDER)
    ] = None
    init: Annotated[
        Path | None,
        Option(
            f"Start from an earlier run, from a weights folder, or from {' or '.join(map(repr, SHIPPED_WEIGHTS))}.",
            path=PathUse.READ,
        ),
    ] = None
    ablate: Annotated[str | None, Option("Leave out 'lipsync' or 'videoref' (Table II).")] = None
    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
    dry_run: Annotated[bool, Option("Print config and networks, train nothing.", flag="--dry-run")] = False
    show_options: Annotated[bool, Option("List every --section.field and exit.", flag="--show-options")] = False


@from_options()
def train(wanted: TrainArguments, context: typer.Context) -> None:
    """Train a face model; stops by itself and goes on when the command is repeated.

    Any field of the config may follow as --section.field VALUE, such as --train.lr 1e-4.
    """
    from training.config_values import describe_options, to_dict
    from training.stats import NonFiniteLossError
    from training.train import TrainOptions, resolve_config, run_training

    if wanted.show_options:
        for name, kind in describe_options():
            say(f"{name:<36}{kind}")
        return
    suffix = f"-no-{wanted.ablate}" if wanted.ablate else ""
    wanted = replace(wanted, out=wanted.out or Path("runs") / f"{wanted.recipe}{suffix}")
    check_paths(wanted)
    assert wanted.out is not None
    options = TrainOptions(
        recipe=wanted.recipe,
        data=wanted.data or Path(),
        out=wanted.out,
        init=wanted.init,
        ablate=wanted.ablate,
        device=wanted.device,
        dry_run=wanted.dry_run,
        overrides=tuple(context.args),
    )
    try:
        config = resolve_config(options)
        if wanted.dry_run:
            _print_config(to_dict(config))
        if wanted.data is None and not wanted.dry_run:
            raise UserError("--data is missing", "give a prepared folder, or a folder of video to prepare")
        run_training(options)
    except (ValueError, NonFiniteLossError, OSError) as error:
        raise UserError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAudioArguments(CheckedOptions):
    """What `talkface train-audio` is asked to do."""

    run: Annotated[
        Path, Option("Folder of a run that draws well; it stays as it is.", path=PathUse.READ, is_argument=True)
    ]
    data: Annotated[Path, Option("Prepared folder that the run trained on.", path=PathUse.READ)]
    out: Annotated[Path, Option("Folder of the new run, for `export` and `train --init`.", path=PathUse.WRITE_FOLDER)]
    minutes: Annotated[float, Option("Wall time of the training itself.", minimum=0, maximum=100_000)] = 15.0
    batch_size: Annotated[int, Option("Frames per step.", minimum=1, maximum=65_536)] = 96
    lr: Annotated[float, Option("Highest learning rate.", minimum=0, maximum=1)] = 1.5e-3
    synthetic_voices: Annotated[
        int,
        Option("espeak-ng voices per clip that say its sentence in step (GRID names only).", minimum=0, maximum=1000),
    ] = 0


@from_options()
def train_audio(wanted: TrainAudioArguments) -> None:
    """Teach E_audio what sound and lips layer together told the generator: without drawing, so fast on a CPU.

    Afterwards `talkface train RECIPE --init OUT` with a small --train.lr_audio brings the generator along.
    """
    from training.audio_distil import DistilOptions
    from training.audio_distil import train_audio as run_distillation
    from training.checkpoint import CheckpointWriteError

    options = DistilOptions(
        run=wanted.run,
        data=wanted.data,
        out=wanted.out,
        minutes=wanted.minutes,
        batch_size=wanted.batch_size,
        lr=wanted.lr,
        synthetic_voices=wanted.synthetic_voices,
    )
    try:
        run_distillation(options, log=say)
    except (ValueError, FloatingPointError, CheckpointWriteError) as error:
        raise UserError(str(error)) from error


def _print_config(values: dict[str, object]) -> None:
    for section, fields in values.items():
        if isinstance(fields, dict):
            for name, value in fields.items():
                say(f"--{section}.{name} {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportArguments(CheckedOptions):
    """What `talkface export` is asked to do."""

    run: Annotated[Path, Option("Folder of a run.", path=PathUse.READ, is_argument=True)]
    out: Annotated[Path, Option("Folder to write the face model to.", path=PathUse.WRITE_FOLDER, is_argument=True)]
    data: Annotated[Path, Option("Prepared folder that the run trained on.", path=PathUse.READ)]
    name: Annotated[str, Option("Name of the face model.")] = "talkface"
    person: Annotated[str | None, Option("Whose face comes with it; the run's first person.")] = None
    blend: Annotated[
        Path | None,
        Option("Average the weights of this run in: it and RUN must be of one lineage.", path=PathUse.READ),
    ] = None
    blend_share: Annotated[float, Option("Share of --blend.", minimum=0, maximum=1)] = 0.5
    note: Annotated[tuple[str, ...], Option("KEY=TEXT kept in the config: licence=...")] = ()


@from_options()
def export(wanted: ExportArguments) -> None:
    """Make a face model of a run's averaged weights: for --weights of every other command."""
    from training.export import ExportOptions, export_run

    pairs = [tuple(text.split("=", 1)) for text in wanted.note]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError("--note must be KEY=TEXT")
    options = ExportOptions(
        run=wanted.run,
        data=wanted.data,
        out=wanted.out,
        name=wanted.name,
        person=wanted.person,
        blend=wanted.blend,
        blend_share=wanted.blend_share,
        notes=tuple((p[0], p[1]) for p in pairs),
    )
    try:
        digest = export_run(options)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    size = sum(p.stat().st_size for p in wanted.out.glob("*.safetensors")) / 1e6
    say(f"{wanted.out}: {size:.1f} MB, sha256 {digest[:16]}")
