"""What the commands are asked to do, typed: the command line fills these, `call.py` and `loopback.py` read them.

Options are checked where they are made, so that a wrong value is refused before anything is loaded or opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from protocol.presets import PRESETS
from talkface.errors import UserError


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
    """What one end does: speak, watch, or both."""

    SEND = "send"
    RECEIVE = "receive"
    CALL = "call"

    @property
    def sends(self) -> bool:
        return self is not Role.RECEIVE

    @property
    def receives(self) -> bool:
        return self is not Role.SEND


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which face model draws, and with what."""

    weights: str = "default"
    """A name ("default", "tiny") or a path."""
    runtime: RuntimeChoice = RuntimeChoice.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingOptions:
    """How the two ends find each other."""

    signal_url: str
    """ws:// or wss:// address of the signalling server."""
    room: str
    secret: str
    ca_file: Path | None = None
    """Certificate authority for a wss:// server with a certificate of its own."""
    ice_servers: tuple[str, ...] = ()
    """stun: and turn: addresses; empty means direct connections only, no third party is contacted."""
    relay_only: bool = False
    """Talk through the TURN server only."""
    wait_s: float = 120.0
    """How long to wait for the other end."""

    def __post_init__(self) -> None:
        if not self.signal_url.startswith(("ws://", "wss://")):
            raise UserError(f"--signal {self.signal_url!r} is not a websocket address", "use ws://HOST:PORT")
        if not self.room or not self.secret:
            raise UserError("room and secret must not be empty")
        if self.ca_file is not None:
            check_readable(self.ca_file, "--ca-file")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What an end that sends sends. Exactly one of `input`, or `microphone`/`camera`."""

    input: Path | None = None
    microphone: str | None = None
    camera: str | None = None
    identity: str = "default"
    """"default" or the path of an identity file."""
    style: StyleChoice = StyleChoice.AUTO
    style_track: Path | None = None
    """Recorded style for `reference`; the identity's own when None."""
    preset: str = "default"
    adaptive: bool = True
    """Rate control may leave the preset when the network is bad."""
    duration_s: float | None = None
    """Stop after this long; a file that is shorter starts again. None: once through the file, or until Ctrl-C."""
    clock_ppm: float = 0.0
    """Artificial error of the sender's clock in parts per million, for tests of clock-skew tracking."""

    def __post_init__(self) -> None:
        known_preset(self.preset)
        if self.duration_s is not None and self.duration_s <= 0:
            raise UserError("--duration-s must be more than 0")
        if self.input is not None:
            check_readable(self.input, "--input")
        if self.style_track is not None:
            check_readable(self.style_track, "--style-track")
        if self.identity != "default":
            check_readable(Path(self.identity), "--identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """Where an end that receives shows what it receives."""

    output: Path | None = None
    """MP4 to write."""
    window: bool = False
    """Show it live."""
    speaker: str | None = None
    """Loudspeaker to play the sound on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOptions:
    """One end of a call."""

    role: Role
    model: ModelOptions
    meeting: MeetingOptions
    source: SourceOptions | None
    """None for an end that only watches."""
    sink: SinkOptions
    preset: str = "default"
    """What the connection is made for; the far end's choice of sound stays its own."""
    report: Path | None = None
    """Where this end writes its own report; latency needs both ends and is left out there."""
    record: Path | None = None
    """Where this end writes what it counted; `talkface.side_record` is its format."""
    relay: tuple[str, int] | None = None
    """Control address of a `talkface.rough_network.relay` process to lead the call through."""
    events: bool = False
    """Report progress as JSON lines on standard output, and end when standard input closes."""
    cache_folder: Path | None = None
    """Where identities of peers are kept; the user's cache folder when None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """A rough network on purpose; all zero is a clean path with no relay in it."""

    loss: float = 0.0
    """Share of datagrams lost."""
    burst_ms: float = 0.0
    """Length of loss bursts: with it, `loss` is the share of time spent in bursts."""
    delay_ms: float = 0.0
    """One-way delay added in each direction."""
    jitter_ms: float = 0.0
    """Standard deviation of further delay."""
    reorder: float = 0.0
    """Share of datagrams that leave behind their successor."""
    duplicate: float = 0.0
    """Share of datagrams that come twice."""
    rate_kbps: float = 0.0
    """Rate cap per direction; 0 is none."""
    blackout_at_s: float = 0.0
    """When the blackout starts, from the first datagram."""
    blackout_s: float = 0.0
    """For this long nothing passes."""
    loss_until_s: float = 0.0
    """Loss stops here, so that recovery can be measured; 0 is never."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise UserError(f"--{name} is a share between 0 and 1, got {value}")
        for name in self.__dataclass_fields__:
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name.replace('_', '-')} must not be negative")
        if self.burst_ms and not self.loss:
            raise UserError(
                "--burst-ms needs --loss", "give the share of time that is lost in bursts, such as --loss 0.05"
            )

    @property
    def is_clean(self) -> bool:
        """True when no relay is needed."""
        return not self.described()

    def described(self) -> dict[str, float]:
        """What is not zero, for the report; the seed goes along when there is anything."""
        names = [name for name in self.__dataclass_fields__ if name != "seed"]
        values = {name: float(getattr(self, name)) for name in names if getattr(self, name)}
        return {**values, "seed": float(self.seed)} if values else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackOptions:
    """A call between two processes of this machine."""

    model: ModelOptions
    source: SourceOptions
    network: NetworkOptions
    output: Path | None
    report: Path | None
    html: Path | None
    command: str
    """What the user typed, for the report."""


def known_preset(name: str) -> str:
    """The name itself; raises UserError when there is no such preset."""
    if name not in PRESETS:
        raise UserError(f"preset {name!r} is unknown", f"choose one of {', '.join(PRESETS)}")
    return name


def check_readable(path: Path, option: str) -> None:
    """Raise UserError unless `path` is a file that can be opened."""
    if not path.exists():
        raise UserError(f"{option}: {path} does not exist", "check the path")
    if path.is_dir():
        raise UserError(f"{option}: {path} is a folder", "name a file in it")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UserError(f"{option}: {path} is empty")
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be read: {error.strerror}") from error
