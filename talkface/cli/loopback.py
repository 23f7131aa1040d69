"""`talkface loopback` and `talkface demo`: a whole call between two processes of this machine, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkface.cli.options import (
    Adaptive,
    ClockPpm,
    DurationS,
    HtmlPath,
    Identity,
    Output,
    Preset,
    ReportPath,
    Runtime,
    Style,
    StyleTrack,
    Weights,
)
from talkface.options import (
    LoopbackOptions,
    ModelOptions,
    NetworkOptions,
    RuntimeChoice,
    SourceOptions,
    StyleChoice,
)
from talkface.report.show import typed_command

Loss = Annotated[float, typer.Option(help="Share of datagrams lost, 0 to 1.")]
BurstMs = Annotated[float, typer.Option(help="Lose in bursts of this length instead of one by one.")]
DelayMs = Annotated[float, typer.Option(help="Delay added in each direction.")]
JitterMs = Annotated[float, typer.Option(help="Random further delay.")]
Reorder = Annotated[float, typer.Option(help="Share of datagrams that come after their successor.")]
Duplicate = Annotated[float, typer.Option(help="Share of datagrams that come twice.")]
RateKbps = Annotated[float, typer.Option(help="Cap of the rate in each direction; 0 is none.")]
BlackoutAtS = Annotated[float, typer.Option(help="When the blackout starts.")]
BlackoutS = Annotated[float, typer.Option(help="Length of a blackout in which nothing passes.")]
LossUntilS = Annotated[float, typer.Option(help="When loss stops, to see the recovery; 0 is never.")]
Seed = Annotated[int, typer.Option(help="Seed of the rough network: the same seed, the same losses.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("demo")(demo)
    app.command("loopback")(loopback)


def demo(
    output: Annotated[Path, typer.Option(help="MP4 to write.")] = Path("out/demo.mp4"),
    report: Annotated[Path, typer.Option(help="Write the report here as JSON.")] = Path("out/demo.json"),
    html: HtmlPath = None,
    preset: Preset = "default",
    weights: Weights = "default",
    runtime: Runtime = RuntimeChoice.AUTO,
) -> None:
    """The default face speaks a shipped recording over a real call on this machine.

    Sender and receiver are two processes that meet at a signalling server and talk WebRTC over real sockets. Only
    the sound and a few bytes of style cross between them; the receiver draws the face.
    """
    from talkface.demo import demo_source
    from talkface.loopback import run_and_show

    run_and_show(
        LoopbackOptions(
            model=ModelOptions(weights=weights, runtime=runtime),
            source=demo_source(preset),
            network=NetworkOptions(),
            output=output,
            report=report,
            html=html,
            command=typed_command(),
        )
    )


def loopback(
    input: Annotated[
        Path | None, typer.Option("--input", help="Media file to send; the shipped recording when left out.")
    ] = None,
    identity: Identity = "default",
    style: Style = StyleChoice.AUTO,
    style_track: StyleTrack = None,
    preset: Preset = "default",
    output: Output = None,
    report: ReportPath = None,
    html: HtmlPath = None,
    weights: Weights = "default",
    runtime: Runtime = RuntimeChoice.AUTO,
    duration_s: DurationS = None,
    adaptive: Adaptive = True,
    loss: Loss = 0.0,
    burst_ms: BurstMs = 0.0,
    delay_ms: DelayMs = 0.0,
    jitter_ms: JitterMs = 0.0,
    reorder: Reorder = 0.0,
    duplicate: Duplicate = 0.0,
    rate_kbps: RateKbps = 0.0,
    blackout_at_s: BlackoutAtS = 5.0,
    blackout_s: BlackoutS = 0.0,
    loss_until_s: LossUntilS = 0.0,
    seed: Seed = 0,
    clock_ppm: ClockPpm = 0.0,
) -> None:
    """A call between two processes of this machine, over real sockets, with a report of every byte.

    With any of the network options the call is routed through a relay that behaves that badly, with a seed.
    """
    from talkface.demo import SPEECH
    from talkface.loopback import run_and_show

    run_and_show(
        LoopbackOptions(
            model=ModelOptions(weights=weights, runtime=runtime),
            source=SourceOptions(
                input=input or SPEECH,
                identity=identity,
                style=style,
                style_track=style_track,
                preset=preset,
                adaptive=adaptive,
                duration_s=duration_s,
                clock_ppm=clock_ppm,
            ),
            network=NetworkOptions(
                loss=loss,
                burst_ms=burst_ms,
                delay_ms=delay_ms,
                jitter_ms=jitter_ms,
                reorder=reorder,
                duplicate=duplicate,
                rate_kbps=rate_kbps,
                blackout_at_s=blackout_at_s if blackout_s else 0.0,
                blackout_s=blackout_s,
                loss_until_s=loss_until_s,
                seed=seed,
            ),
            output=output,
            report=report,
            html=html,
            command=typed_command(),
        )
    )
