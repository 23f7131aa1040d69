"""What `talkface edit` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from talkface.option import CheckedOptions, Option, PathUse
from talkface.options import ModelOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions(CheckedOptions):
    """A face, where its directions come from, and what is drawn of it."""

    model: ModelOptions = field(default_factory=ModelOptions)
    generator: Annotated[
        Path | None,
        Option(
            "An official StyleGAN2 checkpoint (NVIDIA's .pkl or g_ema .pt) instead of a face model.", path=PathUse.READ
        ),
    ] = None
    portrait: Annotated[
        Path | None,
        Option("Picture with the face to edit, inverted first; without it, the weights' own face.", path=PathUse.READ),
    ] = None
    semantic: Annotated[
        tuple[str, ...], Option("mouth, eyes or head; may be given several times. Without it: all there are.")
    ] = ()
    alpha: Annotated[
        float,
        Option("How far: 1 is the average change of the pairs; the strip goes ± this.", minimum=-100, maximum=100),
    ] = 1
    from_video: Annotated[
        tuple[Path, ...],
        Option(
            "Find the directions in videos of one person who moves mouth, eyes and head; several times.",
            path=PathUse.READ,
        ),
    ] = ()
    num_pairs: Annotated[int, Option("Pairs of frames per direction, at most.", minimum=1, maximum=200)] = 12
    sheets: Annotated[
        Path | None,
        Option(
            "Folder for one contact sheet of pairs per direction, for you to look through.", path=PathUse.WRITE_FOLDER
        ),
    ] = None
    leave_out: Annotated[
        tuple[str, ...], Option("A pair that is not good, such as mouth:3 (counted from 1 on its sheet).")
    ] = ()
    invert_pairs: Annotated[
        bool,
        Option("Invert the pairs' frames, as the paper does, instead of encoding them.", flag="--invert-pairs"),
    ] = False
    steps: Annotated[int, Option("Steps of each inversion.", minimum=1, maximum=1_000_000)] = 1000
    layer_offsets: Annotated[
        bool, Option("Let the portrait have offsets per layer: nearer, less editable.", flag="--layer-offsets")
    ] = False
    vgg16: Annotated[
        Path | None,
        Option(
            "VGG-16 weights to compare pictures by; without: torch's cache, else our own network.", path=PathUse.READ
        ),
    ] = None
    directions: Annotated[Path | None, Option("Take the directions from this file.", path=PathUse.READ)] = None
    save_directions: Annotated[Path | None, Option("Write the directions to this file.", path=PathUse.WRITE_FILE)] = (
        None
    )
    output: Annotated[Path, Option("PNG to write: one row per direction.", path=PathUse.WRITE_FILE)] = Path("edit.png")
    film: Annotated[
        Path | None, Option("MP4 to write: each direction there and back.", path=PathUse.WRITE_RECORDING)
    ] = None
