"""One end of a call that is kept up by `RtcCall`, in a network namespace; `test_netns_capture` moves its address.

    python netns_caller.py SIGNALLING_PORT_OR_0 SIGNALLING_HOST

With port 0 it runs the signalling server too and says its port first. Speaks all the time until a line comes in, then
says when it heard something, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from protocol.interfaces import PacketCost
from protocol.signalling.client import SignallingClient
from protocol.signalling.server import SignallingServer
from talkface.clock import MonotonicClock
from talkface.rtc.call import RtcCall
from talkface.rtc.link import RtcLink
from talkface.rtc.options import LinkOptions
from talkface.rtc.wire.meter import WireMeter

SPEECH = bytes([0x58]) + bytes(range(57))
TALK = PacketCost(len(SPEECH), 0, 0, True, 2880)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def main(port: int, host: str) -> None:
    async with AsyncExitStack() as stack:
        if port == 0:
            server = await stack.enter_async_context(SignallingServer(host, 0))
            port = server.port
            say(port=port)
        clock = MonotonicClock()
        meter = WireMeter(clock)
        heard_us: list[int] = []

        def use(link: RtcLink) -> None:
            link.on_audio(lambda packet: heard_us.append(packet.arrival_time_us))
            say(connected=True)

        client = SignallingClient(f"ws://{host}:{port}", room="r", secret="s", timeout_s=2.0)
        call = RtcCall(client, lambda: RtcLink(LinkOptions(), meter=meter, clock=clock), use, clock)
        running = asyncio.ensure_future(call.run())
        stopping = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
        ticks = 0
        while not stopping.done() and not running.done():
            if call.link is not None:
                call.link.send_audio(SPEECH, ticks, TALK)
            ticks += 2880
            await asyncio.sleep(0.06)
        say(heard_us=heard_us, reconnects=call.reconnects)
        running.cancel()
        await asyncio.wait({running})


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
