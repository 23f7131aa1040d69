"""Sound and style as the far end has them: real Opus packets, real style payloads, no network in between.

Style is coded once per style block, and in packets between where the sender would add one for a quick movement;
decoded, and interpolated to 25 frames/s, as the receiver does. The sender's rate limit is not modelled: the mean rate
shows whether it would hold.

Shapes: T frames, V style values, S samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from talkface_core.interfaces import FaceModel
from talkface_core.sound.resample import resample
from talkface_core.style.sampling import has_moved
from training.metrics.style_bits import StyleBits

FRAME_RATE = Fraction(25)
AUDIO_RATE_HZ = 16_000
OPUS_RATE_HZ = 48_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSettings:
    """What of a preset shapes sound and style."""

    name: str
    bitrate_bps: int
    packet_ms: int
    style_hz: Fraction
    """Style blocks per second that are due; quick movements add some."""
    refresh_every: int
    """Due blocks between absolute payloads: one second."""

    @classmethod
    def of(cls, name: str, bitrate_bps: int, packet_ms: int, style_hz: Fraction) -> WireSettings:
        """With a refresh each second, as a call has."""
        return cls(
            name=name,
            bitrate_bps=bitrate_bps,
            packet_ms=packet_ms,
            style_hz=style_hz,
            refresh_every=max(1, round(style_hz)),
        )


def sound_through_opus(samples: NDArray[np.int16], wire: WireSettings) -> NDArray[np.int16]:
    """[S] 16 kHz through the encoder at the preset's rate and the decoder; the codec's own delay stays.

    Raises:
        talkface_core.sound.opus.OpusError: there is no libopus here.
    """
    from talkface_core.sound.opus import OpusDecoder, OpusEncoder

    wide = resample(samples.astype(np.float32) / np.float32(32768), AUDIO_RATE_HZ, OPUS_RATE_HZ)
    pcm = (wide.clip(-1, 1) * 32767).round().astype(np.int16)
    with OpusEncoder(wire.bitrate_bps, wire.packet_ms) as encoder, OpusDecoder(OPUS_RATE_HZ) as decoder:
        step = encoder.samples_per_packet
        padded = np.pad(pcm, (0, -len(pcm) % step))
        heard = np.concatenate(
            [decoder.decode(encoder.encode(padded[i : i + step])) for i in range(0, len(padded), step)]
        )
    narrow = resample(heard.astype(np.float32) / np.float32(32768), OPUS_RATE_HZ, AUDIO_RATE_HZ)[: len(samples)]
    result: NDArray[np.int16] = (narrow.clip(-1, 1) * 32767).round().astype(np.int16)
    return np.pad(result, (0, len(samples) - len(result)))


def style_through_codec(
    model: FaceModel,
    values: NDArray[np.float32],
    wire: WireSettings,
    bits: StyleBits | None = None,
    *,
    with_lips: bool = True,
) -> NDArray[np.float32]:
    """[T, V] values to payloads and back, at the preset's style rate.

    Args:
        bits: counts the payloads, with and without the lips layer.
        with_lips: send the lips layer; without it its values come out as 0.

    Returns:
        [T, V] decoded and interpolated to every frame.
    """
    encoder, base_only, decoder = model.payload_encoder(), model.payload_encoder(), model.payload_decoder()
    packet = float(FRAME_RATE) * wire.packet_ms / 1000  # frames per packet
    packets_per_style = max(1, round(float(FRAME_RATE / wire.style_hz) / packet))
    sent: NDArray[np.float32] | None = None
    times: list[float] = []
    decoded: list[NDArray[np.float32]] = []
    for number in range(int(np.ceil(len(values) / packet))):
        # The block carries the newest frame at its packet's time.
        sample = values[int(number * packet)]
        turn, is_between = divmod(number, packets_per_style)
        if is_between and (sent is None or not has_moved(sample, sent, with_lips=with_lips)):
            continue
        sent = sample
        refresh = not is_between and turn % wire.refresh_every == 0
        payload = encoder.encode(sample, refresh=refresh, with_lips=with_lips)
        if bits is not None:
            bits.add(base_only.encode(sample, refresh=refresh, with_lips=False), payload)
        result = decoder.decode(payload, is_contiguous=True)
        decoded.append(decoded[-1] if result is None else result)
        times.append(number * packet)
    if bits is not None:
        bits.seconds += len(values) / float(FRAME_RATE)
    frames = np.arange(len(values))
    columns = [np.interp(frames, times, column) for column in np.stack(decoded).T]
    return np.stack(columns, axis=1).astype(np.float32)


AudioPath = Callable[[NDArray[np.int16]], NDArray[np.int16]]
"""What happens to the sound before it is drawn."""
