"""`talkface edit`: open the mouth, blink, turn the head: a strip of pictures and a short film (paper section IV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from talkface.cli.options import Runtime, Weights
from talkface.errors import UserError
from talkface.options import RuntimeChoice

if TYPE_CHECKING:
    from torch import Tensor

    from talkface.edit.directions import FramePair, Semantic
    from talkface.edit.face_edit import Clip, EditableFace, Picture, Step
    from talkface.edit.inversion import InversionConfig
    from talkface_core.interfaces import FaceIdentity
    from training.loss.perceptual import FeatureNetwork

FRAME_RATE = Fraction(25)
SAMPLE_RATE_HZ = 48_000
MAX_VIDEO_S = 120
STRIP_COLUMNS = 7


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("edit")(edit_command)


def edit_command(
    weights: Weights = "default",
    generator: Annotated[
        Path | None,
        typer.Option(help="An official StyleGAN2 checkpoint (NVIDIA's .pkl or g_ema .pt) instead of a face model."),
    ] = None,
    portrait: Annotated[
        Path | None,
        typer.Option(help="Picture with the face to edit, inverted first; without it, the weights' own face."),
    ] = None,
    semantic: Annotated[
        list[str] | None,
        typer.Option(help="mouth, eyes or head; may be given several times. Without it: all there are."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="How far: 1 is the average change of the pairs; the strip goes ± this.")
    ] = 1,
    from_video: Annotated[
        list[Path] | None,
        typer.Option(help="Find the directions in videos of one person who moves mouth, eyes and head; several times."),
    ] = None,
    num_pairs: Annotated[int, typer.Option(min=1, max=200, help="Pairs of frames per direction, at most.")] = 12,
    sheets: Annotated[
        Path | None, typer.Option(help="Folder for one contact sheet of pairs per direction, for you to look through.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A pair that is not good, such as mouth:3 (counted from 1 on its sheet).")
    ] = None,
    invert_pairs: Annotated[
        bool,
        typer.Option("--invert-pairs", help="Invert the pairs' frames, as the paper does, instead of encoding them."),
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each inversion.")] = 1000,
    layer_offsets: Annotated[
        bool, typer.Option("--layer-offsets", help="Let the portrait have offsets per layer: nearer, less editable.")
    ] = False,
    vgg16: Annotated[
        Path | None,
        typer.Option(help="VGG-16 weights to compare pictures by; without: torch's cache, else our own network."),
    ] = None,
    directions: Annotated[Path | None, typer.Option(help="Take the directions from this file.")] = None,
    save_directions: Annotated[Path | None, typer.Option(help="Write the directions to this file.")] = None,
    output: Annotated[Path, typer.Option(help="PNG to write: one row per direction.")] = Path("edit.png"),
    film: Annotated[Path | None, typer.Option(help="MP4 to write: each direction there and back.")] = None,
    runtime: Runtime = RuntimeChoice.AUTO,
) -> None:
    """Move a face along semantic directions (eq. 7) and show it: mouth, eyes, head.

    Directions come with the weights, from a file, or from a video in which pairs of frames are found that differ in one
    thing alone.
    """
    from talkface.edit.inversion import InversionConfig
    from talkface_core.errors import CoreError

    try:
        face = _load_face(weights, generator, runtime)
        config = InversionConfig(steps=steps, layer_offsets=layer_offsets)
        wanted = _semantics(semantic)
        if from_video:
            compare = _features(vgg16) if invert_pairs or generator is not None else None
            found = _find_directions(face, from_video, wanted, num_pairs, sheets, leave_out or [], compare, config)
        else:
            found = _read_directions(face, weights, generator, directions, wanted)
        if save_directions is not None:
            from talkface.edit.directions import save_directions as save

            save(save_directions, found)
        identity = face.start if portrait is None else _invert(face, portrait, vgg16, config)
        _write(face, identity, found, alpha, output, film)
    except (CoreError, ValueError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or 'a file'} cannot be written: {error.strerror}") from error


def _load_face(weights: str, generator: Path | None, runtime: RuntimeChoice) -> EditableFace:
    from talkface.edit.face_edit import GeneratorFace, ModelFace
    from talkface.edit.official_checkpoints import load_official_generator
    from talkface_core.face.model import load_face_model

    if generator is not None:
        return GeneratorFace(load_official_generator(generator))
    return ModelFace(load_face_model(weights), runtime=runtime.value)


def _semantics(names: list[str] | None) -> list[Semantic]:
    from talkface.edit.directions import Semantic

    try:
        return [Semantic(name) for name in names] if names else list(Semantic)
    except ValueError:
        raise UserError(f"--semantic {names}", f"choose among {', '.join(s.value for s in Semantic)}") from None


def _features(vgg16: Path | None) -> FeatureNetwork:
    from training.loss.perceptual import choose_feature_network

    features = choose_feature_network(vgg16)
    typer.echo(f"pictures are compared by: {features.name}", err=True)
    return features


def _read_directions(
    face: EditableFace, weights: str, generator: Path | None, path: Path | None, wanted: list[Semantic]
) -> dict[Semantic, Tensor]:
    """From the given file, else from the weights folder."""
    from talkface.edit.directions import load_directions
    from talkface_core.face.model import weights_folder
    from talkface_core.weights import DIRECTIONS_NAME

    if path is None and generator is None and weights != "tiny":
        folder = weights_folder(weights)
        beside = (folder if folder.is_dir() else folder.parent) / DIRECTIONS_NAME
        path = beside if beside.exists() else None
    if path is None:
        raise UserError("no directions come with these weights", "give --from-video or --directions")
    there = load_directions(path, face.generator.config.latent_dim)
    chosen = {s: there[s] for s in wanted if s in there}
    if not chosen:
        raise UserError(f"{path} holds none of {', '.join(s.value for s in wanted)}")
    return chosen


def _find_directions(
    face: EditableFace,
    videos: list[Path],
    wanted: list[Semantic],
    num_pairs: int,
    sheets: Path | None,
    leave_out: list[str],
    features: FeatureNetwork | None,
    config: InversionConfig,
) -> dict[Semantic, Tensor]:
    from talkface.edit.directions import contact_sheet
    from talkface.edit.face_edit import directions_of, find_faces, joined, pairs_of
    from talkface_core.tracking.alignment import cut
    from talkface_core.tracking.tracker import FaceTracker

    with _progress() as step:
        seen = [find_faces(face, read_clip(video), FaceTracker(frame_rate=float(FRAME_RATE)), step) for video in videos]
        faces = joined(seen)
        if len(faces.frames) < 2:
            raise UserError(f"{videos[0]} shows no face", "choose a video in which one person faces the camera")
        pairs = pairs_of(faces, wanted, num_pairs)
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            square = face.crop_of(np.median(faces.points, axis=0))
            crops = [cut(frame, square, 128) for frame in faces.frames]
            for semantic, chosen in pairs.items():
                _write_png(sheets / f"{semantic.value}.png", contact_sheet(crops, chosen))
        pairs = _without(pairs, leave_out)
        for semantic in wanted:
            count = len(pairs.get(semantic, []))
            typer.echo(f"{semantic.value}: {count} pairs", err=True)
        pairs = {semantic: chosen for semantic, chosen in pairs.items() if chosen}
        if not pairs:
            raise UserError("nothing of that changes alone in the video", "a longer one may show it")
        return directions_of(face, faces, pairs, features, config, step)


def _without(pairs: dict[Semantic, list[FramePair]], leave_out: list[str]) -> dict[Semantic, list[FramePair]]:
    """The pairs but those that entries such as "mouth:3" name."""
    struck = set()
    for entry in leave_out:
        name, _, number = entry.partition(":")
        count = next((len(chosen) for semantic, chosen in pairs.items() if semantic.value == name), 0)
        if not number.isdigit() or not 1 <= int(number) <= count:
            raise UserError(f"--leave-out {entry!r} names no pair", "write NAME:NUMBER, such as mouth:3")
        struck.add((name, int(number)))
    return {
        semantic: [pair for i, pair in enumerate(chosen, 1) if (semantic.value, i) not in struck]
        for semantic, chosen in pairs.items()
    }


def read_clip(video: Path) -> Clip:
    """Frames at 25 per second and the sound at 16 kHz, from media time 0.

    Raises:
        UserError: it cannot be read, or is longer than two minutes.
    """
    from sender.errors import SourceError
    from sender.sources.file_audio import FileAudio
    from sender.sources.file_frames import FileFrames
    from talkface.edit.face_edit import Clip
    from talkface_core.sound.mel import SAMPLE_RATE_HZ as MODEL_RATE_HZ
    from talkface_core.sound.resample import resample

    source, sound = FileFrames(video, FRAME_RATE), FileAudio(video)
    frames, parts = [], []
    try:
        source.open()
        sound.open()
        while (frame := source.read_frame()) is not None:
            frames.append(frame.rgb)
            if len(frames) > MAX_VIDEO_S * FRAME_RATE:
                raise UserError(f"{video} is longer than {MAX_VIDEO_S} s", "cut a part out of it")
        while (part := sound.read(SAMPLE_RATE_HZ)) is not None:
            parts.append(part)
    except SourceError as error:
        raise UserError(str(error)) from error
    finally:
        source.close()
        sound.close()
    pcm = np.concatenate(parts).astype(np.float32) / 32768.0
    return Clip(frames, resample(pcm, SAMPLE_RATE_HZ, MODEL_RATE_HZ))


def _invert(face: EditableFace, portrait: Path, vgg16: Path | None, config: InversionConfig) -> FaceIdentity:
    from talkface.edit.face_edit import invert_portrait
    from talkface.portrait import find_portrait, read_picture

    picture = read_picture(portrait)
    points = find_portrait(portrait, picture).astype(np.float64)
    with _progress() as step:
        found = invert_portrait(face, picture, points, _features(vgg16), config, step)
    typer.echo(f"portrait: {found.psnr_db:.1f} dB after step {found.best_step}", err=True)
    return found.identity


def _write(
    face: EditableFace,
    identity: FaceIdentity,
    directions: dict[Semantic, Tensor],
    alpha: float,
    output: Path,
    film: Path | None,
) -> None:
    from receiver.errors import ReceiverError
    from receiver.sinks.mp4 import Mp4Sink
    from receiver.sinks.sink import SinkFormat
    from talkface.edit.face_edit import draw_strip, film_frames

    _write_png(output, draw_strip(face, identity, directions, alpha, STRIP_COLUMNS))
    typer.echo(f"{output}: rows {', '.join(s.value for s in directions)}, from -{alpha:g} to +{alpha:g}")
    if film is None:
        return
    frames = film_frames(face, identity, directions, alpha, float(FRAME_RATE))
    sink = Mp4Sink(film)
    try:
        sink.open(SinkFormat(resolution_px=frames[0].shape[0], frame_rate=FRAME_RATE))
        for index, frame in enumerate(frames):
            sink.write_frame(index, 0, frame)
        sink.write_audio(0, np.zeros(int(len(frames) * SAMPLE_RATE_HZ / FRAME_RATE), dtype=np.int16))
    except ReceiverError as error:
        raise UserError(str(error)) from error
    finally:
        sink.close()
    typer.echo(f"{film}: {len(frames) / FRAME_RATE} s")


def _write_png(path: Path, picture: Picture) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@contextmanager
def _progress() -> Iterator[Step]:
    """A bar on standard error that renames itself with each stage."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
