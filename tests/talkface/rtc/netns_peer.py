"""One end of a call in a network namespace; `test_netns_capture` starts two and hands their descriptions over.

Speaks JSON lines on standard input and output. Sends speech with style and redundancy, pauses with comfort noise, and
control messages, as a sending session does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

import av
import numpy as np

from protocol.interfaces import PacketCost
from protocol.messages import Bye
from protocol.opus_padding import add_padding, comfort_noise_packet
from protocol.style_block import StyleBlock
from talkface import demo
from talkface.clock import MonotonicClock
from talkface.rtc.link import RtcLink
from talkface.rtc.options import LinkOptions
from talkface.rtc.wire.meter import WireMeter
from talkface_core.sound.opus import OpusEncoder

PACKET_MS = 60
TALK_PACKETS, PAUSE_PACKETS = 30, 15


def speech() -> np.ndarray[Any, np.dtype[np.int16]]:
    with av.open(str(demo.SPEECH)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        frames = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate(frames, axis=1)[0]


async def speak(link: RtcLink, seed: int, rounds: int) -> None:
    pcm, encoder = speech(), OpusEncoder(bitrate_bps=8_000, packet_ms=PACKET_MS)
    previous, index = b"", 0
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for _ in range(rounds):
        for position in range(TALK_PACKETS + PAUSE_PACKETS):
            await asyncio.sleep(max(0.0, start_s + index * PACKET_MS / 1000 - loop.time()))
            if position < TALK_PACKETS:
                packet = encoder.encode(pcm[index * 2880 : (index + 1) * 2880])
                style = bytes([seed, index % 256] * 5) if index % 2 else b""
                redundancy = previous if index % 3 == 0 else b""
                padded = add_padding(packet, StyleBlock(style=style, redundancy=redundancy).to_bytes())
                style_bytes = len(padded) - len(packet) - len(redundancy)
                link.send_audio(padded, index * 2880, PacketCost(len(packet), style_bytes, len(redundancy), True, 2880))
                previous = packet
            elif position % 7 == 0 or position == TALK_PACKETS:
                quiet = comfort_noise_packet(previous[0])
                link.send_audio(quiet, index * 2880, PacketCost(len(quiet), 0, 0, False, 2880))
            index += 1
    await asyncio.sleep(0.2)


async def main(role: str, addresses: tuple[str, ...] | None, tag_bits: int, rounds: int) -> None:
    def say(**values: Any) -> None:
        print(json.dumps(values), flush=True)

    async def listen() -> Any:
        return json.loads(await asyncio.to_thread(sys.stdin.readline))

    clock = MonotonicClock()
    meter = WireMeter(clock)
    link = RtcLink(LinkOptions(bind_addresses=addresses, srtp_tag_bits=tag_bits), meter=meter, clock=clock)
    received = [0]
    link.on_audio(lambda packet: received.__setitem__(0, received[0] + 1))
    if role == "offerer":
        say(sdp=await link.create_offer())
        await link.accept_answer((await listen())["sdp"])
    else:
        say(sdp=await link.accept_offer((await listen())["sdp"]))
    await link.wait_connected(15)
    for _ in range(12):
        await link.send_control(Bye(reason="counts as the call's own " * 8))
    await speak(link, len(role), rounds)
    say(done=True)
    await listen()  # both have spoken
    await link.close()
    await asyncio.sleep(0.3)
    say(wire=asdict(meter.snapshot()), received=received[0], srtp_tag_bytes=link.stats().srtp_tag_bytes)


if __name__ == "__main__":
    given = tuple(sys.argv[3].split(",")) if sys.argv[3] != "all" else None
    asyncio.run(main(sys.argv[1], given, int(sys.argv[2]), int(sys.argv[4])))
