"""`talkface send`, `receive` and `call`: one end of a call; the other end is another process or machine."""

from __future__ import annotations

from typing import Annotated

import typer

from talkface.cli.options import (
    Adaptive,
    CacheFolder,
    CaFile,
    Camera,
    ClockPpm,
    DurationS,
    Events,
    IceServers,
    Identity,
    Input,
    Microphone,
    Output,
    Preset,
    Record,
    Relay,
    RelayOnly,
    ReportPath,
    Room,
    Runtime,
    Secret,
    SignalUrl,
    Speaker,
    Style,
    StyleTrack,
    Weights,
    Window,
)
from talkface.errors import UserError
from talkface.options import (
    MeetingOptions,
    ModelOptions,
    Role,
    RuntimeChoice,
    SideOptions,
    SinkOptions,
    SourceOptions,
    StyleChoice,
    known_preset,
)

WaitS = Annotated[float, typer.Option(help="Give up when the other end has not come after so many seconds.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("send")(send)
    app.command("receive")(receive)
    app.command("call")(call)


def send(
    signal: SignalUrl,
    room: Room,
    secret: Secret,
    input: Input = None,
    microphone: Microphone = None,
    camera: Camera = None,
    identity: Identity = "default",
    style: Style = StyleChoice.AUTO,
    style_track: StyleTrack = None,
    preset: Preset = "default",
    adaptive: Adaptive = True,
    duration_s: DurationS = None,
    ca_file: CaFile = None,
    ice_server: IceServers = None,
    relay_only: RelayOnly = False,
    wait_s: WaitS = 120.0,
    weights: Weights = "default",
    report: ReportPath = None,
    clock_ppm: ClockPpm = 0.0,
    record: Record = None,
    relay: Relay = None,
    events: Events = False,
) -> None:
    """Speak: send sound and style to the other end of a room."""
    source = _source(input, microphone, camera, identity, style, style_track, preset, adaptive, duration_s, clock_ppm)
    _run(
        SideOptions(
            role=Role.SEND,
            model=ModelOptions(weights=weights),
            meeting=_meeting(signal, room, secret, ca_file, ice_server, relay_only, wait_s),
            source=source,
            preset=preset,
            sink=SinkOptions(),
            report=report,
            record=record,
            relay=_relay_address(relay),
            events=events,
        )
    )


def receive(
    signal: SignalUrl,
    room: Room,
    secret: Secret,
    preset: Preset = "default",
    output: Output = None,
    window: Window = False,
    speaker: Speaker = None,
    ca_file: CaFile = None,
    ice_server: IceServers = None,
    relay_only: RelayOnly = False,
    wait_s: WaitS = 120.0,
    weights: Weights = "default",
    runtime: Runtime = RuntimeChoice.AUTO,
    cache_folder: CacheFolder = None,
    report: ReportPath = None,
    record: Record = None,
    relay: Relay = None,
    events: Events = False,
) -> None:
    """Watch: hear the other end of a room and draw its face."""
    _run(
        SideOptions(
            role=Role.RECEIVE,
            model=ModelOptions(weights=weights, runtime=runtime),
            meeting=_meeting(signal, room, secret, ca_file, ice_server, relay_only, wait_s),
            source=None,
            preset=known_preset(preset),
            sink=SinkOptions(output=output, window=window, speaker=speaker),
            report=report,
            record=record,
            relay=_relay_address(relay),
            events=events,
            cache_folder=cache_folder,
        )
    )


def call(
    signal: SignalUrl,
    room: Room,
    secret: Secret,
    input: Input = None,
    microphone: Microphone = None,
    camera: Camera = None,
    identity: Identity = "default",
    style: Style = StyleChoice.AUTO,
    style_track: StyleTrack = None,
    preset: Preset = "default",
    adaptive: Adaptive = True,
    duration_s: DurationS = None,
    output: Output = None,
    window: Window = False,
    speaker: Speaker = None,
    ca_file: CaFile = None,
    ice_server: IceServers = None,
    relay_only: RelayOnly = False,
    wait_s: WaitS = 120.0,
    weights: Weights = "default",
    runtime: Runtime = RuntimeChoice.AUTO,
    cache_folder: CacheFolder = None,
    report: ReportPath = None,
    clock_ppm: ClockPpm = 0.0,
    record: Record = None,
    relay: Relay = None,
    events: Events = False,
) -> None:
    """Both: speak to the other end of a room, hear it and draw its face."""
    source = _source(input, microphone, camera, identity, style, style_track, preset, adaptive, duration_s, clock_ppm)
    _run(
        SideOptions(
            role=Role.CALL,
            model=ModelOptions(weights=weights, runtime=runtime),
            meeting=_meeting(signal, room, secret, ca_file, ice_server, relay_only, wait_s),
            source=source,
            preset=preset,
            sink=SinkOptions(output=output, window=window, speaker=speaker),
            report=report,
            record=record,
            relay=_relay_address(relay),
            events=events,
            cache_folder=cache_folder,
        )
    )


def _source(
    input: Input,
    microphone: str | None,
    camera: str | None,
    identity: str,
    style: StyleChoice,
    style_track: StyleTrack,
    preset: str,
    adaptive: bool,
    duration_s: float | None,
    clock_ppm: float,
) -> SourceOptions:
    if input is not None and (microphone is not None or camera is not None):
        raise UserError("--input and --microphone or --camera exclude each other", "leave one of them out")
    return SourceOptions(
        input=input,
        microphone=microphone if input is not None or microphone is not None else "default",
        camera=camera,
        identity=identity,
        style=style,
        style_track=style_track,
        preset=preset,
        adaptive=adaptive,
        duration_s=duration_s,
        clock_ppm=clock_ppm,
    )


def _meeting(
    signal: str,
    room: str,
    secret: str,
    ca_file: CaFile,
    ice_servers: list[str] | None,
    relay_only: bool,
    wait_s: float,
) -> MeetingOptions:
    return MeetingOptions(
        signal_url=signal,
        room=room,
        secret=secret,
        ca_file=ca_file,
        ice_servers=tuple(ice_servers or ()),
        relay_only=relay_only,
        wait_s=wait_s,
    )


def _relay_address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--relay {text!r} is not HOST:PORT")
    return host, int(port)


def _run(options: SideOptions) -> None:
    from talkface.call import run_side

    run_side(options)
