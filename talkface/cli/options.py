"""Options that several commands share, so that a flag means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol.presets import PRESETS
from talkface.options import RuntimeChoice, StyleChoice

PRESET_HELP = (
    "What to spend: "
    + "; ".join(
        f"{preset.name} (about {preset.expected_kbps:.1f} kbps while talking, all bytes)" for preset in PRESETS.values()
    )
    + "."
)

Weights = Annotated[
    str, typer.Option(help="Face model: 'default', 'general' (any face), 'tiny' (random, for tests) or a path.")
]
Runtime = Annotated[RuntimeChoice, typer.Option(help="What draws the frames; 'auto' takes the fastest there is.")]
Identity = Annotated[
    str, typer.Option(help="Whose face: 'default', an identity file, or a picture (--weights general).")
]
Style = Annotated[
    StyleChoice,
    typer.Option(
        help="Head pose, blinks and expression: 'live' from the picture, 'reference' from a recorded track, 'none', or "
        "'auto': live when there is a picture, else reference."
    ),
]
StyleTrack = Annotated[
    Path | None, typer.Option(help="Recorded style for --style reference; without it, the identity's own.")
]
Preset = Annotated[str, typer.Option(help=PRESET_HELP)]
DurationS = Annotated[
    float | None,
    typer.Option(help="Stop after so many seconds; a shorter file starts again. Without it: once through the file."),
]
Adaptive = Annotated[
    bool, typer.Option(help="Leave the preset for a cheaper or more robust one when the network is bad.")
]
ClockPpm = Annotated[
    float, typer.Option(help="Run the sender's clock fast by so many parts per million, to test the receiver's.")
]
Output = Annotated[Path | None, typer.Option(help="MP4 to write: the face with its sound.")]
ReportPath = Annotated[Path | None, typer.Option(help="Write the report here as JSON.")]
HtmlPath = Annotated[Path | None, typer.Option(help="Write the report here as one page with plots and a still.")]
SignalUrl = Annotated[
    str, typer.Option(envvar="TALKFACE_SIGNAL", help="Signalling server, ws://HOST:PORT or wss://HOST:PORT.")
]
Room = Annotated[str, typer.Option(help="Name of the room; both ends use the same.")]
Secret = Annotated[
    str, typer.Option(envvar="TALKFACE_SECRET", help="The room's secret; both ends use the same. Prefer the variable.")
]
CaFile = Annotated[Path | None, typer.Option(help="Certificate to trust for a wss:// server that made its own.")]
IceServers = Annotated[
    list[str] | None,
    typer.Option(
        "--ice-server",
        envvar="TALKFACE_ICE_SERVERS",
        help="stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT with ?transport=tcp at the end for TCP; may be given "
        "several times. Without any, no third party is contacted.",
    ),
]
RelayOnly = Annotated[bool, typer.Option("--relay-only", help="Talk through the TURN server only.")]
Input = Annotated[Path | None, typer.Option(help="Media file to send, instead of microphone and camera.")]
Microphone = Annotated[str | None, typer.Option(help="Microphone to send: 'default' or a device name.")]
Camera = Annotated[str | None, typer.Option(help="Camera for --style live: 'default' or a device such as /dev/video0.")]
Window = Annotated[bool, typer.Option("--window", help="Show the face in a window.")]
Speaker = Annotated[str | None, typer.Option(help="Loudspeaker to play the sound on: 'default' or a device name.")]
Record = Annotated[Path | None, typer.Option(hidden=True, help="Write what this end counted, for loopback to merge.")]
CacheFolder = Annotated[
    Path | None, typer.Option(help="Keep received identities here, not in the user's cache folder.")
]
Relay = Annotated[str | None, typer.Option(hidden=True, help="HOST:PORT of a relay process to lead the call through.")]
Events = Annotated[bool, typer.Option("--events", hidden=True, help="Progress as JSON lines; end with standard input.")]
