"""The shipped recording as the sound that is coded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.presets import PRESETS
from sender.sources.file_audio import FileAudio
from talkface.demo import SPEECH
from talkface_core.sound.opus import OpusEncoder

PRESET = PRESETS["default"]


def speech_packets() -> list[NDArray[np.int16]]:
    """Sound of one packet each, [2880] int16 at 48 kHz for the default preset; the whole recording."""
    source = FileAudio(SPEECH)
    source.open()
    try:
        packets: list[NDArray[np.int16]] = []
        while (pcm := source.read(PRESET.packet_ticks)) is not None:
            packets.append(pcm)
    finally:
        source.close()
    return packets


def opus_packets() -> list[bytes]:
    """The recording coded as a call with the default preset codes it."""
    with OpusEncoder(PRESET.bitrate_bps, PRESET.packet_ms) as encoder:
        return [encoder.encode(pcm) for pcm in speech_packets()]
