"""What one side sends: its sound, its style, its face; and what a user may choose about the sending."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.identity.key import OwnerKey
from protocol.presets import PRESETS, Preset
from protocol.rtp_time import RTP_CLOCK_HZ
from sender.media_time import MediaTime
from sender.sources.interfaces import AudioSource
from sender.sources.style import NoStyle, StyleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Opened and closed as one; both may block, so they run beside the event loop."""

    audio: AudioSource
    style: StyleSource = field(default_factory=NoStyle)
    identity: bytes | None = None
    """The identity file, offered by hash; None shows no face of our own."""
    owner_key: OwnerKey | None = None
    """The one that signed it: proves to the far end that the face is ours. Without it, no far end draws it."""
    media_time: MediaTime | None = None
    """Shared with a camera, whose pictures it stamps; None without one."""

    def open(self) -> None:
        """Open the sound, begin with style.

        Raises:
            sender.errors.SourceError: there is no sound, or live style has no picture.
        """
        self.audio.open()
        self.style.start()

    def wake(self) -> None:
        """End a read of the sound that waits for a device; `close` is still due."""
        if self.audio.is_live:
            self.audio.close()

    def close(self) -> None:
        """Free sound and style, once nothing reads them any more. Safe to call twice."""
        self.audio.close()
        self.style.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingOptions:
    """How one direction of a call is sent."""

    preset: Preset = PRESETS["default"]
    adaptive: bool = True
    """Rate control may leave the preset."""
    expects_hello: bool = True
    """False for a plain browser, which has no control channel."""
    hello_timeout_s: float = 20.0
    duration_s: float | None = None
    """End after so much sound; None for as much as the source gives."""

    @property
    def limit_ticks(self) -> float:
        """Where the sound ends at the latest, in 48 kHz ticks."""
        return float("inf") if self.duration_s is None else round(self.duration_s * RTP_CLOCK_HZ)
