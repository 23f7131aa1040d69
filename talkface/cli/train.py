"""`talkface train` and `talkface export`: train a face model, make weights of a run, compare ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkface.errors import UserError
from talkface_core.shipped_weights import SHIPPED_WEIGHTS
from training.recipes import RECIPES


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)
    app.command("train-audio")(train_audio)
    app.command("export")(export)


def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=f"{', '.join(RECIPES)}.")],
    data: Annotated[
        Path | None, typer.Option(help="Prepared folder or its shards; raw video is prepared first.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; the same command goes on with it.")] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help=f"Start from an earlier run, from a weights folder, or from {' or '.join(map(repr, SHIPPED_WEIGHTS))}."
        ),
    ] = None,
    ablate: Annotated[str | None, typer.Option(help="Leave out 'lipsync' or 'videoref' (Table II).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print config and networks, train nothing.")] = False,
    show_options: Annotated[bool, typer.Option("--show-options", help="List every --section.field and exit.")] = False,
) -> None:
    """Train a face model; stops by itself and goes on when the command is repeated.

    Any field of the config may follow as --section.field VALUE, such as --train.lr 1e-4.
    """
    from training.checkpoint import CheckpointWriteError
    from training.config_values import describe_options, to_dict
    from training.stats import NonFiniteLossError
    from training.train import TrainOptions, resolve_config, run_training

    if show_options:
        for name, kind in describe_options():
            typer.echo(f"{name:<36}{kind}")
        return
    suffix = f"-no-{ablate}" if ablate else ""
    options = TrainOptions(
        recipe=recipe,
        data=data or Path(),
        out=out or Path("runs") / f"{recipe}{suffix}",
        init=init,
        ablate=ablate,
        device=device,
        dry_run=dry_run,
        overrides=tuple(context.args),
    )
    try:
        config = resolve_config(options)
        if dry_run:
            _print_config(to_dict(config))
        if data is None and not dry_run:
            raise UserError("--data is missing", "give a prepared folder, or a folder of video to prepare")
        run_training(options)
    except (ValueError, NonFiniteLossError, CheckpointWriteError) as error:
        raise UserError(str(error)) from error


def train_audio(
    run: Annotated[Path, typer.Argument(help="Folder of a run that draws well; it stays as it is.")],
    data: Annotated[Path, typer.Option(help="Prepared folder that the run trained on.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run, for `export` and `train --init`.")],
    minutes: Annotated[float, typer.Option(help="Wall time of the training itself.")] = 15.0,
    batch_size: Annotated[int, typer.Option(help="Frames per step.")] = 96,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 1.5e-3,
    synthetic_voices: Annotated[
        int, typer.Option(help="espeak-ng voices per clip that say its sentence in step (GRID names only).")
    ] = 0,
) -> None:
    """Teach E_audio what sound and lips layer together told the generator: without drawing, so fast on a CPU.

    Afterwards `talkface train RECIPE --init OUT` with a small --train.lr_audio brings the generator along.
    """
    from training.audio_distil import DistilOptions, train_audio
    from training.checkpoint import CheckpointWriteError

    options = DistilOptions(
        run=run,
        data=data,
        out=out,
        minutes=minutes,
        batch_size=batch_size,
        lr=lr,
        synthetic_voices=synthetic_voices,
    )
    try:
        train_audio(options, log=typer.echo)
    except (ValueError, FloatingPointError, CheckpointWriteError) as error:
        raise UserError(str(error)) from error


def _print_config(values: dict[str, object]) -> None:
    for section, fields in values.items():
        if isinstance(fields, dict):
            for name, value in fields.items():
                typer.echo(f"--{section}.{name} {value}")


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the face model to.")],
    data: Annotated[Path, typer.Option(help="Prepared folder that the run trained on.")],
    name: Annotated[str, typer.Option(help="Name of the face model.")] = "talkface",
    person: Annotated[str | None, typer.Option(help="Whose face comes with it; the run's first person.")] = None,
    blend: Annotated[
        Path | None, typer.Option(help="Average the weights of this run in: it and RUN must be of one lineage.")
    ] = None,
    blend_share: Annotated[float, typer.Option(help="Share of --blend, 0 to 1.")] = 0.5,
    note: Annotated[list[str] | None, typer.Option(help="KEY=TEXT kept in the config: licence=...")] = None,
) -> None:
    """Make a face model of a run's averaged weights: for --weights of every other command."""
    from training.export import ExportOptions, export_run

    pairs = [tuple(text.split("=", 1)) for text in note or []]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError("--note must be KEY=TEXT")
    options = ExportOptions(
        run=run,
        data=data,
        out=out,
        name=name,
        person=person,
        blend=blend,
        blend_share=blend_share,
        notes=tuple((p[0], p[1]) for p in pairs),
    )
    try:
        digest = export_run(options)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    size = sum(p.stat().st_size for p in out.glob("*.safetensors")) / 1e6
    typer.echo(f"{out}: {size:.1f} MB, sha256 {digest[:16]}")
