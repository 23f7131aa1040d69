"""What the commands are asked to do: the one description of each option, from its `--help` to what a call reads.

    options dataclass ── from_options ──> command line of `send`, `receive`, `call`, `loopback`, `demo`
                      ── options_file ──> child processes

A new option is a new field here. Options are checked where they are made, so that a wrong value is refused before
anything is loaded or opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from protocol.presets import PRESETS
from talkface.errors import UserError
from talkface.input_path import check_readable
from talkface.option import CheckedOptions, Option, PathUse


class StyleChoice(StrEnum):
    """Where head pose, blinks and expression come from."""

    AUTO = "auto"
    LIVE = "live"
    REFERENCE = "reference"
    NONE = "none"


class RuntimeChoice(StrEnum):
    """What draws the frames."""

    AUTO = "auto"
    TORCH_CPU = "torch-cpu"
    TORCH_CUDA = "torch-cuda"
    OPENVINO = "openvino"


class Role(StrEnum):
    """What one side does: speak, watch, or both."""

    SEND = "send"
    RECEIVE = "receive"
    CALL = "call"

    @property
    def sends(self) -> bool:
        return self is not Role.RECEIVE

    @property
    def receives(self) -> bool:
        return self is not Role.SEND


PRESET = Option(
    "What to spend: "
    + "; ".join(
        f"{preset.name} (about {preset.expected_kbps:.1f} kbps while talking, all bytes)" for preset in PRESETS.values()
    )
    + ".",
    flag="--preset",
)
OUTPUT = Option("MP4 to write: the face with its sound.", path=PathUse.WRITE_RECORDING)
REPORT = Option("Write the report here as JSON.", path=PathUse.WRITE_FILE)
HTML = Option("Write the report here as one page with plots and a still.", path=PathUse.WRITE_FILE)
WEEK_S = 7 * 24 * 3600
MAX_DELAY_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(CheckedOptions):
    """Which face model draws, and with what."""

    weights: Annotated[
        str,
        Option("Face model: 'default', 'general' (any face), 'tiny' (random, for tests) or a path.", path=PathUse.READ),
    ] = "default"
    runtime: Annotated[RuntimeChoice, Option("What draws the frames; 'auto' takes the fastest there is.")] = (
        RuntimeChoice.AUTO
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingOptions(CheckedOptions):
    """How the two sides find each other."""

    signal_url: Annotated[
        str,
        Option("Signalling server, ws://HOST:PORT or wss://HOST:PORT.", flag="--signal", environment="TALKFACE_SIGNAL"),
    ]
    room: Annotated[str, Option("Name of the room; both ends use the same.")]
    secret: Annotated[
        str | None,
        Option(
            "The room's secret; both ends use the same. Prefer the variable. Without one, three words and a number are "
            "made, with the line to send to the other person.",
            environment="TALKFACE_SECRET",
        ),
    ] = None
    """`talkface.room_secret` makes one before anything else looks."""
    ca_file: Annotated[
        Path | None, Option("Certificate to trust for a wss:// server that made its own.", path=PathUse.READ)
    ] = None
    ice_servers: Annotated[
        tuple[str, ...],
        Option(
            "stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT with ?transport=tcp at the end for TCP; may be given "
            "several times. Without any, no third party is contacted.",
            flag="--ice-server",
            environment="TALKFACE_ICE_SERVERS",
        ),
    ] = ()
    relay_only: Annotated[bool, Option("Talk through the TURN server only.", flag="--relay-only")] = False
    wait_s: Annotated[
        float, Option("Give up when the other end has not come after so many seconds.", minimum=0.1, maximum=WEEK_S)
    ] = 120.0

    def __post_init__(self) -> None:
        CheckedOptions.__post_init__(self)
        if not self.signal_url.startswith(("ws://", "wss://")):
            raise UserError(f"--signal {self.signal_url!r} is not a websocket address", "use ws://HOST:PORT")
        if not self.room or self.secret == "":
            raise UserError("room and secret must not be empty")
        if self.ca_file is not None:
            check_readable(self.ca_file, "--ca-file")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(CheckedOptions):
    """What a side that sends sends: `input`, or what `microphone` and `camera` give; without any, the microphone."""

    input: Annotated[
        Path | None, Option("Media file to send, instead of microphone and camera.", path=PathUse.READ)
    ] = None
    microphone: Annotated[str | None, Option("Microphone to send: 'default' or a device name.")] = None
    camera: Annotated[str | None, Option("Camera for --style live: 'default' or a device such as /dev/video0.")] = None
    identity: Annotated[
        str, Option("Whose face: 'default', an identity file, or a picture (--weights general).", path=PathUse.READ)
    ] = "default"
    style: Annotated[
        StyleChoice,
        Option(
            "Head pose, blinks and expression: 'live' from the picture, 'reference' from a recorded track, 'none', or "
            "'auto': live when there is a picture, else reference."
        ),
    ] = StyleChoice.AUTO
    style_track: Annotated[
        Path | None,
        Option("Recorded style for --style reference; without it, the identity's own.", path=PathUse.READ),
    ] = None
    preset: Annotated[str, PRESET] = "default"
    adaptive: Annotated[bool, Option("Leave the preset for a cheaper or more robust one when the network is bad.")] = (
        True
    )
    duration_s: Annotated[
        float | None,
        Option(
            "Stop after so many seconds; a shorter file starts again. Without it: once through the file.",
            minimum=0.1,
            maximum=WEEK_S,
        ),
    ] = None
    clock_ppm: Annotated[
        float,
        Option(
            "Run the sender's clock fast by so many parts per million, to test the receiver's.",
            minimum=-10_000,
            maximum=10_000,
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        CheckedOptions.__post_init__(self)
        if self.input is not None and (self.microphone is not None or self.camera is not None):
            raise UserError("--input and --microphone or --camera exclude each other", "leave one of them out")
        known_preset(self.preset)
        if self.input is not None:
            check_readable(self.input, "--input")
        if self.style_track is not None:
            check_readable(self.style_track, "--style-track")
        if self.identity != "default":
            check_readable(Path(self.identity), "--identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions(CheckedOptions):
    """Where a side that receives shows what it receives."""

    output: Annotated[Path | None, OUTPUT] = None
    window: Annotated[bool, Option("Show the face in a window.", flag="--window")] = False
    speaker: Annotated[str | None, Option("Loudspeaker to play the sound on: 'default' or a device name.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOptions(CheckedOptions):
    """One side of a call."""

    role: Role
    source: SourceOptions | None = None
    """None for a side that only watches."""
    watching_preset: Annotated[str, PRESET] = "default"
    """Of a side that only watches."""
    sink: SinkOptions = SinkOptions()
    meeting: MeetingOptions
    model: ModelOptions = ModelOptions()
    cache_folder: Annotated[
        Path | None,
        Option("Keep received identities here, not in the user's cache folder.", path=PathUse.WRITE_FOLDER),
    ] = None
    report: Annotated[Path | None, REPORT] = None
    """Where this side writes its own report; latency needs both sides and is left out there."""
    record: Path | None = None
    """Where this side writes what it counted; `talkface.side.record` is its format."""
    detour: tuple[str, int] | None = None
    """Control address of a `talkface.rough_network` process to lead the call through."""
    events: bool = False
    """Report progress as JSON lines on standard output, and end when standard input closes."""

    def __post_init__(self) -> None:
        CheckedOptions.__post_init__(self)
        known_preset(self.watching_preset)

    @property
    def preset(self) -> str:
        """What the connection is made for; the far side's choice of sound stays its own."""
        return self.watching_preset if self.source is None else self.source.preset


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions(CheckedOptions):
    """One direction of a rough network on purpose; all zero is a clean path. Times count from the first datagram."""

    loss: Annotated[float, Option("Share of datagrams lost.", minimum=0, maximum=1)] = 0.0
    burst_ms: Annotated[
        float, Option("Lose in bursts of this length instead of one by one.", minimum=0, maximum=MAX_DELAY_MS)
    ] = 0.0
    """With it, `loss` is the share of time spent in bursts, in which nothing passes."""
    delay_ms: Annotated[float, Option("Delay added in each direction.", minimum=0, maximum=MAX_DELAY_MS)] = 0.0
    jitter_ms: Annotated[float, Option("Random further delay.", minimum=0, maximum=MAX_DELAY_MS)] = 0.0
    """Its standard deviation (half-normal: never early). Order is kept; see `reorder`."""
    reorder: Annotated[float, Option("Share of datagrams that come after their successor.", minimum=0, maximum=1)] = 0.0
    duplicate: Annotated[float, Option("Share of datagrams that come twice.", minimum=0, maximum=1)] = 0.0
    rate_kbps: Annotated[
        float, Option("Cap of the rate in each direction; 0 is none.", minimum=0, maximum=1_000_000)
    ] = 0.0
    """IP and UDP headers counted."""
    blackout_at_s: Annotated[float, Option("When the blackout starts.", minimum=0, maximum=WEEK_S)] = 5.0
    blackout_s: Annotated[float, Option("Length of a blackout in which nothing passes.", minimum=0, maximum=WEEK_S)] = (
        0.0
    )
    loss_until_s: Annotated[
        float, Option("When loss stops, to see the recovery; 0 is never.", minimum=0, maximum=WEEK_S)
    ] = 0.0
    seed: Annotated[
        int, Option("Seed of the rough network: the same seed, the same losses.", minimum=0, maximum=2**32 - 1)
    ] = 0

    def __post_init__(self) -> None:
        CheckedOptions.__post_init__(self)
        if self.burst_ms and not self.loss:
            raise UserError(
                "--burst-ms needs --loss", "give the share of time that is lost in bursts, such as --loss 0.05"
            )

    @property
    def is_clean(self) -> bool:
        """True when it does nothing to a call."""
        return not self.described()

    def described(self) -> dict[str, float]:
        """What it does, for the report; the seed goes along when there is anything."""
        idle = {"seed"} if self.blackout_s else {"seed", "blackout_at_s"}
        names = [name for name in self.__dataclass_fields__ if name not in idle]
        values = {name: float(getattr(self, name)) for name in names if getattr(self, name)}
        return {**values, "seed": float(self.seed)} if values else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DetourOptions(CheckedOptions):
    """A rough network between two sides, each direction as rough as wanted."""

    to_answerer: NetworkOptions
    to_offerer: NetworkOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackOptions(CheckedOptions):
    """A call between two processes of this machine."""

    source: SourceOptions
    output: Annotated[Path | None, OUTPUT] = None
    report: Annotated[Path | None, REPORT] = None
    html: Annotated[Path | None, HTML] = None
    model: ModelOptions = ModelOptions()
    network: NetworkOptions = NetworkOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions(CheckedOptions):
    """The call that shows what this is."""

    output: Annotated[Path, Option("MP4 to write.", path=PathUse.WRITE_RECORDING)] = Path("out/demo.mp4")
    report: Annotated[Path, REPORT] = Path("out/demo.json")
    html: Annotated[Path | None, HTML] = None
    preset: Annotated[str, PRESET] = "default"
    model: ModelOptions = ModelOptions()


def known_preset(name: str) -> str:
    """The name itself; raises UserError when there is no such preset."""
    if name not in PRESETS:
        raise UserError(f"preset {name!r} is unknown", f"choose one of {', '.join(PRESETS)}")
    return name
