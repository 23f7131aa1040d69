"""A real call between two processes of this machine: how soon a face is seen, and how much memory both ends take.

1. `talkface demo`: a recording speaks with its recorded style -> an MP4 of the drawn face
2. the same with that MP4 as the camera: face tracker and E_style run at the sender, too
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.measurement import Outcome, Skip, Unit, measured
from talkface.demo import SPEECH
from talkface.loopback import LoopbackRecords, run_sides
from talkface.options import LoopbackOptions, ModelOptions, SourceOptions, StyleChoice
from talkface.progress import ConsoleProgress


def run(settings: Settings) -> Iterator[Outcome]:
    """Both calls."""
    with tempfile.TemporaryDirectory(prefix="talkface-") as folder:
        recording = Path(folder) / "face.mp4"
        for style, source in ((StyleChoice.REFERENCE, SPEECH), (StyleChoice.LIVE, recording)):
            options = LoopbackOptions(
                source=SourceOptions(input=source, style=style, duration_s=settings.call_s),
                model=ModelOptions(weights=settings.weights[0]),
                output=recording if style is StyleChoice.REFERENCE else None,
            )
            call = asyncio.run(run_sides(options, ConsoleProgress(Console(quiet=True))))
            yield from outcomes(call, {"weights": settings.weights[0], "style": style.value})


def outcomes(call: LoopbackRecords, parameters: dict[str, str]) -> Iterator[Outcome]:
    """What the records of a call say about time and memory."""
    receiving = call.receiver.receiving
    shown_us = receiving.video.first_shown_us if receiving is not None else None
    with_runtime = parameters | {"runtime": call.receiver.runtime}
    if shown_us is None:
        yield Skip(name=f"first frame, style {parameters['style']}", reason="no frame was shown in this call")
    else:
        for name, since_us in (("both sides started", call.begun_us), ("connected", call.receiver.start_us)):
            seconds = (shown_us - since_us) / 1e6
            yield measured(f"{name} to first frame shown", [seconds], Unit.SECONDS, with_runtime)
    for name, record in (("receiver", call.receiver), ("sender", call.sender)):
        resident = [megabytes for _, megabytes in record.memory]
        yield measured(
            f"memory of the {name}", resident, Unit.MEGABYTES, with_runtime if name == "receiver" else parameters
        )


BENCHMARK = Benchmark("call", "A call on this machine", run)
