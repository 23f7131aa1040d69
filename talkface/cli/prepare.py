"""`talkface prepare`: raw video and pictures to clips that can be trained on, with a reason for whatever is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.terminal import say


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("prepare")(prepare)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareArguments(CheckedOptions):
    """What `talkface prepare` is asked to do."""

    source: Annotated[
        Path,
        Option("A VoxCeleb2-like tree, a folder, or one video or picture.", path=PathUse.READ, is_argument=True),
    ]
    out: Annotated[
        Path,
        Option("Folder for the clips; the same command goes on with it.", path=PathUse.WRITE_FOLDER, is_argument=True),
    ]
    resolution: Annotated[int, Option("Side of the square crops in pixels.", minimum=16, maximum=1024)] = 256
    split: Annotated[str | None, Option("Only files of this split in the table manifest.csv.")] = None
    use: Annotated[str | None, Option("Only files of this use in the table manifest.csv.")] = None
    each_own: Annotated[bool, Option("Without a table every file shows a person of its own.", flag="--each-own")] = (
        False
    )
    workers: Annotated[int, Option("Processes; 0 is one per core.", minimum=0, maximum=1024)] = 0
    min_seconds: Annotated[float, Option("Shorter clips are dropped.", minimum=0.04, maximum=3600)] = 1.0
    max_seconds: Annotated[float, Option("Longer ones are cut into equal parts.", minimum=0.04, maximum=3600)] = 20.0
    min_face: Annotated[float, Option("Smallest crop in pixels of the source.", minimum=1, maximum=10_000)] = 96.0
    keep_silent: Annotated[bool, Option("Keep clips without sound.", flag="--keep-silent")] = False
    max_offset: Annotated[
        int, Option("Drop clips whose sound is clearly off by more frames.", minimum=0, maximum=1000)
    ] = 6
    shards: Annotated[
        Path | None, Option("Pack the clips into WebDataset tar shards here.", path=PathUse.WRITE_FOLDER)
    ] = None
    clips_per_shard: Annotated[int, Option("Clips in one shard.", minimum=1, maximum=1_000_000)] = 500
    engine: Annotated[str, Option("'local', or 'ray' for many machines with a shared folder.")] = "local"
    ray_address: Annotated[str | None, Option("Ray cluster to join; without it, workers here.")] = None

    def __post_init__(self) -> None:
        CheckedOptions.__post_init__(self)
        if self.engine not in ("local", "ray"):
            raise UserError(f"--engine {self.engine!r} is unknown", "choose local or ray")
        if self.max_seconds < self.min_seconds:
            raise UserError("--max-seconds must not be less than --min-seconds")


@from_options()
def prepare(wanted: PrepareArguments) -> None:
    """Cut videos into clips of one face: 25 frames/s, 16 kHz sound, landmarks; says what it dropped and why."""
    from talkface_core.errors import WeightsError
    from training.data.clip_format import ClipFormatError
    from training.prepare.file import ClipRules
    from training.prepare.run import PrepareOptions
    from training.prepare.run import prepare as prepare_local
    from training.prepare.sources import PrepareError

    rules = ClipRules(
        resolution_px=wanted.resolution,
        min_s=wanted.min_seconds,
        max_s=wanted.max_seconds,
        min_crop_px=wanted.min_face,
        keep_silent=wanted.keep_silent,
        max_offset_frames=wanted.max_offset,
    )
    options = PrepareOptions(
        source=wanted.source,
        out=wanted.out,
        resolution_px=wanted.resolution,
        split=wanted.split,
        use=wanted.use,
        each_own=wanted.each_own,
        workers=wanted.workers,
        rules=rules,
    )
    try:
        if wanted.engine == "ray":
            from training.prepare.ray_engine import prepare_with_ray

            prepare_with_ray(options, address=wanted.ray_address, log=say)
        else:
            prepare_local(options, log=say)
        if wanted.shards is not None:
            from training.data.shards import write_shards

            paths = write_shards(wanted.out, wanted.shards, wanted.clips_per_shard)
            say(f"{len(paths)} shards in {wanted.shards}")
    except (PrepareError, ClipFormatError, WeightsError, OSError) as error:
        raise UserError(str(error)) from error
