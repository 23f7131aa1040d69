"""`talkface prepare`: raw video and pictures to clips that can be trained on, with a reason for whatever is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkface.errors import UserError


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("prepare")(prepare)


def prepare(
    source: Annotated[Path, typer.Argument(help="A VoxCeleb2-like tree, a folder, or one video or picture.")],
    out: Annotated[Path, typer.Argument(help="Folder for the clips; the same command goes on with it.")],
    resolution: Annotated[int, typer.Option(help="Side of the square crops in pixels.")] = 256,
    split: Annotated[str | None, typer.Option(help="Only files of this split in the table manifest.csv.")] = None,
    use: Annotated[str | None, typer.Option(help="Only files of this use in the table manifest.csv.")] = None,
    each_own: Annotated[
        bool, typer.Option("--each-own", help="Without a table every file shows a person of its own.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes; 0 is one per core.")] = 0,
    min_seconds: Annotated[float, typer.Option(help="Shorter clips are dropped.")] = 1.0,
    max_seconds: Annotated[float, typer.Option(help="Longer ones are cut into equal parts.")] = 20.0,
    min_face: Annotated[float, typer.Option(help="Smallest crop in pixels of the source.")] = 96.0,
    keep_silent: Annotated[bool, typer.Option("--keep-silent", help="Keep clips without sound.")] = False,
    max_offset: Annotated[int, typer.Option(help="Drop clips whose sound is clearly off by more frames.")] = 6,
    shards: Annotated[Path | None, typer.Option(help="Pack the clips into WebDataset tar shards here.")] = None,
    clips_per_shard: Annotated[int, typer.Option(help="Clips in one shard.")] = 500,
    engine: Annotated[str, typer.Option(help="'local', or 'ray' for many machines with a shared folder.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster to join; without it, workers here.")] = None,
) -> None:
    """Cut videos into clips of one face: 25 frames/s, 16 kHz sound, landmarks; says what it dropped and why."""
    from talkface_core.errors import WeightsError
    from training.data.clip_format import ClipFormatError
    from training.prepare.file import ClipRules
    from training.prepare.run import PrepareOptions
    from training.prepare.run import prepare as prepare_local
    from training.prepare.sources import PrepareError

    if engine not in ("local", "ray"):
        raise UserError(f"--engine {engine!r} is unknown", "choose local or ray")
    if not 16 <= resolution <= 1024 or min_seconds <= 0 or max_seconds < min_seconds:
        raise UserError("--resolution must be 16 to 1024 and 0 < --min-seconds <= --max-seconds")
    rules = ClipRules(
        resolution_px=resolution,
        min_s=min_seconds,
        max_s=max_seconds,
        min_crop_px=min_face,
        keep_silent=keep_silent,
        max_offset_frames=max_offset,
    )
    options = PrepareOptions(
        source=source,
        out=out,
        resolution_px=resolution,
        split=split,
        use=use,
        each_own=each_own,
        workers=workers,
        rules=rules,
    )
    try:
        if engine == "ray":
            from training.prepare.ray_engine import prepare_with_ray

            prepare_with_ray(options, address=ray_address, log=typer.echo)
        else:
            prepare_local(options, log=typer.echo)
        if shards is not None:
            from training.data.shards import write_shards

            paths = write_shards(out, shards, clips_per_shard)
            typer.echo(f"{len(paths)} shards in {shards}")
    except (PrepareError, ClipFormatError, WeightsError, OSError) as error:
        raise UserError(str(error)) from error
