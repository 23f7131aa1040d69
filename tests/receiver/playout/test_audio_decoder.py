"""The wall around libopus."""

from __future__ import annotations

import random

import numpy as np
import pytest

from protocol.errors import ProtocolError
from protocol.opus_padding import split_padding
from receiver.media_packet import MediaPacket
from receiver.playout.audio_decoder import AudioDecoder


def media(opus: bytes) -> MediaPacket:
    return MediaPacket(sequence=0, start_ticks=0, opus=split_padding(opus)[0], arrival_us=0)


def test_packet_and_concealment(speech_packets: list[bytes]) -> None:
    decoder = AudioDecoder()
    for packet in speech_packets[:13]:
        assert decoder.decode(media(packet)).shape == (2880,)
    concealed = decoder.conceal(2880)
    assert concealed.shape == (2880,)
    assert np.abs(concealed[:480]).max() > 100


@pytest.mark.parametrize("num_samples", [1, 100, 480, 481, 5760])
def test_any_length_is_concealed(speech_packets: list[bytes], num_samples: int) -> None:
    decoder = AudioDecoder()
    decoder.decode(media(speech_packets[0]))
    assert decoder.conceal(num_samples).shape == (num_samples,)


def test_no_bytes_break_the_decoder(speech_packets: list[bytes]) -> None:
    decoder = AudioDecoder()
    rng = random.Random(1)
    for _ in range(2_000):
        packet = bytearray(rng.choice(speech_packets))
        for _ in range(rng.randrange(1, 4)):
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        try:
            hostile = media(bytes(packet))
        except ProtocolError:
            continue
        assert decoder.decode(hostile).shape == (hostile.duration_ticks,)
    assert decoder.decode(media(speech_packets[0])).shape == (2880,)
    decoder.close()
