"""What `link` falls back on when the installed aiortc lacks a private name: public ways only.

Sound then comes through aiortc's own jitter buffer and decoder (slower after losses, style lost) and is coded again, so
that the receiving session sees the packets that it expects; reports come from `RTCPeerConnection.getStats`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from protocol.interfaces import ReceptionReport
from protocol.rtp_time import RTP_CLOCK_HZ
from talkface.rtc.adapter.router import RawRtp
from talkface_core.sound.opus import OpusEncoder

_PACKET_MS = 20
_BITRATE_BPS = 32_000
"""Nearly free of loss on what was coded at 6..12 kbps before; these bytes never touch the network."""
_POLL_S = 5.0


async def recode_track(track: MediaStreamTrack, deliver: Callable[[RawRtp], None]) -> None:
    """Decode what aiortc receives and hand it over as 20 ms Opus packets with RTP numbers, until the track ends."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RTP_CLOCK_HZ, frame_size=48 * _PACKET_MS)
    number = 0
    with OpusEncoder(bitrate_bps=_BITRATE_BPS, packet_ms=_PACKET_MS) as encoder:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            for piece in resampler.resample(frame):
                pcm = np.ascontiguousarray(piece.to_ndarray()[0], dtype=np.int16)
                if piece.pts is not None and len(pcm) == encoder.samples_per_packet:
                    deliver(RawRtp(0, number % 65536, piece.pts % 2**32, 0, encoder.encode(pcm)))
                    number += 1


async def poll_reports(
    connection: RTCPeerConnection, report: Callable[[ReceptionReport], None], heard: Callable[[], None]
) -> None:
    """Read the far end's reports from the statistics, and notice that anything arrives; until cancelled."""
    last_bytes = 0
    while True:
        await asyncio.sleep(_POLL_S)
        for entry in (await connection.getStats()).values():
            if entry.type == "remote-inbound-rtp":
                round_trip_ms = None if entry.roundTripTime is None else entry.roundTripTime * 1000
                report(ReceptionReport(entry.fractionLost / 256, entry.jitter * 1000 / RTP_CLOCK_HZ, round_trip_ms))
            elif entry.type == "transport" and entry.bytesReceived != last_bytes:
                last_bytes = entry.bytesReceived
                heard()
