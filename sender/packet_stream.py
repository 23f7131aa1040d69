"""The sound of a call to its packets: encode, gate, look back, add style and redundancy. No network, no clock.

    pcm ──> voice detector ──> gate ──┐
     └────> Opus encoder (always) ────┴─> speech | comfort noise | style | nothing ──> payloads
    style values ──> scheduler ───────┘

Timestamps count the sound that went in, sent or not. The encoder runs through silence, so that the first packet of a
word needs no run-in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.interfaces import PacketCost
from protocol.presets import Preset
from sender.packetizer import OutgoingPacket, silent_packet, speech_packet
from sender.speech_encoder import SpeechEncoder, open_speech_encoder
from sender.style_scheduler import StyleScheduler
from sender.voice_activity import VoiceActivityDetector
from sender.voice_gate import SlotKind, VoiceGate


class SpeechDetector(Protocol):
    """Tells speech from room noise; `VoiceActivityDetector`."""

    @property
    def voice_to_noise_db(self) -> float:
        """How far the voice stands above the room."""
        ...

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
        """[k] flags for k frames of 20 ms."""
        ...


@dataclass(slots=True)
class PacketTotals:
    """Running sums for the report."""

    num_packets: int = 0
    num_speech_packets: int = 0
    num_lookback_packets: int = 0
    talk_ticks: int = 0
    total_ticks: int = 0
    opus_bytes: int = 0
    style_bytes: int = 0
    redundancy_bytes: int = 0

    def add(self, cost: PacketCost) -> None:
        self.num_packets += 1
        self.num_speech_packets += cost.is_talking
        self.talk_ticks += cost.duration_ticks if cost.is_talking else 0
        self.opus_bytes += cost.opus_bytes
        self.style_bytes += cost.style_bytes
        self.redundancy_bytes += cost.redundancy_bytes


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The packet of the slot before."""

    opus: bytes
    ticks: int
    duration_ticks: int
    was_sent: bool
    """As speech, so that it may ride again as redundancy."""
    slot_is_free: bool
    """Nothing was sent for this slot, so that the packet may still be."""


class PacketStream:
    """One direction's packets from its sound; call `process` once per packet time."""

    def __init__(
        self,
        encoder: SpeechEncoder,
        preset: Preset,
        style: StyleScheduler | None = None,
        detector: SpeechDetector | None = None,
    ) -> None:
        """`encoder` is configured for `preset`; `style` None sends sound alone; `detector` None is the usual one."""
        self.encoder = encoder
        self.style = style
        self._detector = detector or VoiceActivityDetector()
        self._gate = VoiceGate()
        self._previous: _Encoded | None = None
        self.preset = preset
        self.redundancy = preset.redundancy
        """Every packet of speech carries the one before it."""
        self.ticks = 0
        """Timestamp of the next packet."""
        self.totals = PacketTotals()

    @property
    def samples_per_packet(self) -> int:
        return self.encoder.samples_per_packet

    @property
    def packet_ticks(self) -> int:
        """Duration of the next packet; samples and ticks are both 48 kHz."""
        return self.encoder.samples_per_packet

    def configure(self, preset: Preset, *, redundancy: bool, with_lips: bool) -> None:
        """Follow rate control between two packets; timestamps run on."""
        self.redundancy = redundancy
        if preset != self.preset:
            self.encoder.configure(bitrate_bps=preset.bitrate_bps, packet_ms=preset.packet_ms)
            self.preset = preset
            if self.style is not None:
                self.style.configure(preset)
        if self.style is not None:
            self.style.with_lips = with_lips

    def request_refresh(self) -> None:
        """Make the next style payload absolute."""
        if self.style is not None:
            self.style.request_refresh()

    def process(self, pcm: NDArray[np.int16], style_values: NDArray[np.float32] | None) -> list[OutgoingPacket]:
        """Take one packet time of sound, return what goes out for it: 0, 1 or, at the start of a word, 2 packets.

        Args:
            pcm: [samples_per_packet] int16 at 48 kHz.
            style_values: [16] at the instant that this sound ends, or None.
        """
        duration = self.packet_ticks
        opus = self.encoder.encode(pcm)
        voiced = [bool(flag) for flag in self._detector.process(pcm)]
        slot = self._gate.next_slot(voiced, self.encoder.packet_ms, self._detector.voice_to_noise_db)
        if slot is SlotKind.SPEECH:
            packets = self._speech(opus, duration, style_values)
        else:
            packets = self._silence(slot, opus[0], duration, style_values)
        self._previous = _Encoded(opus, self.ticks, duration, slot is SlotKind.SPEECH, not packets)
        self.ticks += duration
        self.totals.total_ticks += duration
        for packet in packets:
            self.totals.add(packet.cost)
        return packets

    def _speech(self, opus: bytes, duration: int, values: NDArray[np.float32] | None) -> list[OutgoingPacket]:
        packets: list[OutgoingPacket] = []
        previous = self._previous
        if previous is not None and previous.slot_is_free:
            # A word begins softly: the packet before the one that opened the gate goes out as well, late.
            packets.append(speech_packet(previous.opus, previous.ticks, previous.duration_ticks))
            self.totals.num_lookback_packets += 1
        style = b""
        if self.style is not None:
            self.style.note_sound(len(opus), duration)
            style = self.style.talking_payload(values, self.ticks + duration)
        has_partner = self.redundancy and previous is not None and (previous.was_sent or previous.slot_is_free)
        redundancy = previous.opus if has_partner and previous is not None else b""
        packets.append(speech_packet(opus, self.ticks, duration, style=style, previous=redundancy))
        return packets

    def _silence(
        self, slot: SlotKind, toc: int, duration: int, values: NDArray[np.float32] | None
    ) -> list[OutgoingPacket]:
        if slot is SlotKind.COMFORT_NOISE:
            return [silent_packet(toc, self.ticks, duration)]
        if slot is SlotKind.STYLE and self.style is not None:
            style = self.style.silent_payload(values, self.ticks + duration)
            if style:
                return [silent_packet(toc, self.ticks, duration, style=style)]
        return []


def open_packet_stream(preset: Preset, style: StyleScheduler | None) -> PacketStream:
    """A stream with the best encoder of this machine.

    Raises:
        ValueError: there is none at all.
    """
    return PacketStream(open_speech_encoder(preset), preset, style)
