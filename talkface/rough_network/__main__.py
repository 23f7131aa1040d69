"""The rough network as a child process: `python -m talkface.rough_network FILE`, with its `DetourOptions` in the file.

It prints one line of JSON, {"control": [HOST, PORT]}, and serves until its standard input closes or Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys

from talkface.child.main import child_main
from talkface.options import DetourOptions
from talkface.rough_network.detour import Detour


def run_detour(options: DetourOptions) -> None:
    """Serve until the parent is gone."""
    asyncio.run(_run(Detour(options.to_answerer, options.to_offerer)))


async def _run(detour: Detour) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    reader = asyncio.StreamReader()
    with contextlib.suppress(ValueError, OSError):  # no pipe on standard input: only a signal ends it
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        watcher = asyncio.ensure_future(reader.read())
        watcher.add_done_callback(lambda _: stopped.set())
    print(json.dumps({"control": await detour.start()}), flush=True)
    await stopped.wait()
    await detour.close()


if __name__ == "__main__":
    child_main(DetourOptions, run_detour)
