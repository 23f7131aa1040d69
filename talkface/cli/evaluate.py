"""`talkface evaluate` and `talkface table2`: how good a face model is, in the columns of the paper's tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.outputs import Delivery
from talkface.terminal import say, warn
from talkface_core.shipped_weights import SHIPPED_WEIGHTS


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("evaluate")(evaluate)
    app.command("table2")(table2)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateArguments(CheckedOptions):
    """What `talkface evaluate` is asked to do."""

    data: Annotated[Path, Option("Prepared folder; its val clips where it has such, else all.", path=PathUse.READ)]
    weights: Annotated[
        str,
        Option(f"Face model: {', '.join(map(repr, SHIPPED_WEIGHTS))}, 'tiny' (random) or a path.", path=PathUse.READ),
    ] = "default"
    identity: Annotated[
        str,
        Option(
            "Whose face: 'default', an identity file, 'own': of each clip's first frame, by E_image, or 'tuned': the "
            "same, then tuned to that frame.",
            path=PathUse.READ,
        ),
    ] = "default"
    through_wire: Annotated[str | None, Option("Preset: sound passes through Opus and style through its codec.")] = None
    report: Annotated[Path | None, Option("Write every number here as JSON.", path=PathUse.WRITE_FILE)] = None
    pictures: Annotated[
        Path | None, Option("Folder for side-by-side videos and a contact sheet.", path=PathUse.WRITE_FOLDER)
    ] = None
    mode: Annotated[
        tuple[str, ...],
        Option("live, camera, base, audio, reference or swapped; several times. Without: live, audio, reference."),
    ] = ()
    split: Annotated[str | None, Option("Clips of this split.")] = None
    max_clips: Annotated[int, Option("Measure only so many clips; 0 is all.", minimum=0, maximum=1_000_000)] = 0
    runtime: Annotated[str, Option("auto, torch-cpu, torch-cuda or openvino.")] = "auto"
    tune_seconds: Annotated[
        float, Option("Time to tune each face with --identity tuned.", minimum=1, maximum=86_400)
    ] = 60.0
    inception: Annotated[Path | None, Option("Inception weights for FID.", path=PathUse.READ)] = None
    syncnet: Annotated[Path | None, Option("Official SyncNet weights for LSE-D and LSE-C.", path=PathUse.READ)] = None


@from_options()
def evaluate(wanted: EvaluateArguments) -> None:
    """Redraw clips from their own style and sound, from sound alone, and with another clip's style; print Table I."""
    from protocol.identity.read import read_identity
    from protocol.presets import PRESETS
    from receiver.identity_store import identity_for_model
    from talkface.demo import SPEECH
    from talkface_core.face.model import load_face_model
    from training.evaluate.ablation import table_one
    from training.evaluate.faces import FaceOptions, Whose
    from training.evaluate.run import EvaluateOptions, PicturesWriteError, write_report
    from training.evaluate.run import evaluate as run_evaluation
    from training.evaluate.through_wire import WireSettings
    from training.likeness.tuning import TuningConfig
    from training.mode import Mode
    from training.prepare.media_read import read_sound

    wire = None
    if wanted.through_wire is not None:
        if wanted.through_wire not in PRESETS:
            raise UserError(f"--through-wire {wanted.through_wire!r} is unknown", f"choose one of {', '.join(PRESETS)}")
        preset = PRESETS[wanted.through_wire]
        wire = WireSettings.of(preset.name, preset.bitrate_bps, preset.packet_ms, preset.style_hz)
    known = [m.value for m in Mode]
    if unknown := [m for m in wanted.mode if m not in known]:
        raise UserError(f"--mode {unknown[0]!r} is unknown", f"choose from {', '.join(known)}")
    whose = Whose(wanted.identity) if wanted.identity in (Whose.OWN, Whose.TUNED) else Whose.ONE
    speech = read_sound(SPEECH) if whose is Whose.TUNED else None
    faces = FaceOptions(whose=whose, tuning=TuningConfig(seconds=wanted.tune_seconds), speech=speech)
    options = EvaluateOptions(
        data=wanted.data,
        split=wanted.split,
        modes=tuple(Mode(m) for m in wanted.mode) or EvaluateOptions(data=wanted.data).modes,
        wire=wire,
        max_clips=wanted.max_clips,
        faces=faces,
        runtime=wanted.runtime,
        inception=wanted.inception,
        syncnet=wanted.syncnet,
        pictures=wanted.pictures,
    )
    delivery = Delivery()
    try:
        model = load_face_model(wanted.weights)
        face = None
        if wanted.identity != "default" and whose is Whose.ONE:
            face = identity_for_model(read_identity(Path(wanted.identity).read_bytes()), model.info)
        try:
            result = run_evaluation(model, face, options, log=warn)
        except PicturesWriteError as error:
            result = error.report
            delivery.add_problem(str(error))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    delivery.attempt("the table", lambda: say(table_one(result)))
    if wanted.report is not None:
        report = wanted.report
        delivery.attempt(str(report), lambda: write_report(report, result))
    delivery.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableTwoArguments(CheckedOptions):
    """What `talkface table2` is asked to show."""

    baseline: Annotated[Path, Option("Report of the full model.", path=PathUse.READ)]
    lipsync: Annotated[Path | None, Option("Report of the model trained with --ablate lipsync.", path=PathUse.READ)] = (
        None
    )
    videoref: Annotated[
        Path | None, Option("Report of the model trained with --ablate videoref.", path=PathUse.READ)
    ] = None
    mode: Annotated[str, Option("Which mode of the reports is compared.")] = "live"


@from_options()
def table2(wanted: TableTwoArguments) -> None:
    """Print Table II from reports of `talkface evaluate`."""
    from training.evaluate.ablation import ReportError, read_report, table_two

    paths = {"baseline": wanted.baseline, "lipsync": wanted.lipsync, "videoref": wanted.videoref}
    try:
        reports = {name: read_report(path) for name, path in paths.items() if path is not None}
        say(table_two(reports, wanted.mode))
    except ReportError as error:
        raise UserError(str(error)) from error
