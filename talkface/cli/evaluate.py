"""`talkface evaluate` and `talkface table2`: how good a face model is, in the columns of the paper's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkface.errors import UserError
from talkface_core.shipped_weights import SHIPPED_WEIGHTS


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("evaluate")(evaluate)
    app.command("table2")(table2)


def evaluate(
    data: Annotated[Path, typer.Option(help="Prepared folder; its val clips where it has such, else all.")],
    weights: Annotated[
        str, typer.Option(help=f"Face model: {', '.join(map(repr, SHIPPED_WEIGHTS))}, 'tiny' (random) or a path.")
    ] = "default",
    identity: Annotated[
        str,
        typer.Option(
            help="Whose face: 'default', an identity file, 'own': of each clip's first frame, by E_image, or 'tuned': "
            "the same, then tuned to that frame."
        ),
    ] = "default",
    through_wire: Annotated[
        str | None, typer.Option(help="Preset: sound passes through Opus and style through its codec.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write every number here as JSON.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for side-by-side videos and a contact sheet.")] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="live, camera, base, audio, reference or swapped; several times. Without: live, audio, reference."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Clips of this split.")] = None,
    max_clips: Annotated[int, typer.Option(help="Measure only so many clips; 0 is all.")] = 0,
    runtime: Annotated[str, typer.Option(help="auto, torch-cpu, torch-cuda or openvino.")] = "auto",
    tune_seconds: Annotated[float, typer.Option(help="Time to tune each face with --identity tuned.")] = 60.0,
    inception: Annotated[Path | None, typer.Option(help="Inception weights for FID.")] = None,
    syncnet: Annotated[Path | None, typer.Option(help="Official SyncNet weights for LSE-D and LSE-C.")] = None,
) -> None:
    """Redraw clips from their own style and sound, from sound alone, and with another clip's style; print Table I."""
    from protocol.identity.file import IdentityFile
    from protocol.presets import PRESETS
    from receiver.identity_store import identity_for_model
    from talkface.demo import SPEECH
    from talkface_core.face.model import load_face_model
    from training.evaluate.ablation import table_one
    from training.evaluate.faces import FaceOptions, Whose
    from training.evaluate.run import EvaluateOptions, write_report
    from training.evaluate.run import evaluate as run_evaluation
    from training.evaluate.through_wire import WireSettings
    from training.likeness.tuning import TuningConfig
    from training.mode import Mode
    from training.prepare.media_read import read_sound

    wire = None
    if through_wire is not None:
        if through_wire not in PRESETS:
            raise UserError(f"--through-wire {through_wire!r} is unknown", f"choose one of {', '.join(PRESETS)}")
        preset = PRESETS[through_wire]
        wire = WireSettings.of(preset.name, preset.bitrate_bps, preset.packet_ms, preset.style_hz)
    known = [m.value for m in Mode]
    if unknown := [m for m in mode or [] if m not in known]:
        raise UserError(f"--mode {unknown[0]!r} is unknown", f"choose from {', '.join(known)}")
    if not 1 <= tune_seconds <= 86_400:
        raise UserError(f"--tune-seconds must be 1 to 86400, not {tune_seconds}")
    whose = Whose(identity) if identity in (Whose.OWN, Whose.TUNED) else Whose.ONE
    speech = read_sound(SPEECH) if whose is Whose.TUNED else None
    faces = FaceOptions(whose=whose, tuning=TuningConfig(seconds=tune_seconds), speech=speech)
    options = EvaluateOptions(
        data=data,
        split=split,
        modes=tuple(Mode(m) for m in mode) if mode else EvaluateOptions(data=data).modes,
        wire=wire,
        max_clips=max_clips,
        faces=faces,
        runtime=runtime,
        inception=inception,
        syncnet=syncnet,
        pictures=pictures,
    )
    try:
        model = load_face_model(weights)
        face = None
        if identity != "default" and whose is Whose.ONE:
            face = identity_for_model(IdentityFile.from_bytes(Path(identity).read_bytes()), model.info)
        result = run_evaluation(model, face, options, log=lambda text: typer.echo(text, err=True))
        if report is not None:
            write_report(report, result)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    typer.echo(table_one(result))


def table2(
    baseline: Annotated[Path, typer.Option(help="Report of the full model.")],
    lipsync: Annotated[Path | None, typer.Option(help="Report of the model trained with --ablate lipsync.")] = None,
    videoref: Annotated[Path | None, typer.Option(help="Report of the model trained with --ablate videoref.")] = None,
    mode: Annotated[str, typer.Option(help="Which mode of the reports is compared.")] = "live",
) -> None:
    """Print Table II from reports of `talkface evaluate`."""
    from training.evaluate.ablation import ReportError, read_report, table_two

    paths = {"baseline": baseline, "lipsync": lipsync, "videoref": videoref}
    try:
        reports = {name: read_report(path) for name, path in paths.items() if path is not None}
        typer.echo(table_two(reports, mode))
    except ReportError as error:
        raise UserError(str(error)) from error
