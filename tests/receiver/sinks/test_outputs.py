"""All sinks as one: opened or not together, given their part, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from receiver.drawing.frame_order import DrawnFrame
from receiver.errors import SinkUnavailableError
from receiver.sinks.audio_device import AudioDeviceSink
from receiver.sinks.outputs import Outputs
from receiver.sinks.sink import SinkFormat

FORMAT = SinkFormat(64, Fraction(25))
PCM = np.zeros(480, dtype=np.int16)
FRAME = DrawnFrame(3, 5_760, np.zeros((4, 4, 3), dtype=np.uint8))


class Recorder:
    """Writes down what it is told."""

    def __init__(self, fails_at: str = "") -> None:
        self.told: list[Any] = []
        self._fails_at = fails_at

    def open(self, media_format: SinkFormat) -> None:
        self._tell("open")

    def write_audio(self, start_samples: int, pcm: Any) -> None:
        self._tell(("audio", start_samples))

    def write_frame(self, index: int, samples: int, image: Any) -> None:
        self._tell(("frame", index))

    def close(self) -> None:
        self._tell("close")

    def _tell(self, what: Any) -> None:
        if what == self._fails_at:
            raise SinkUnavailableError("not here")
        self.told.append(what)


class Loudspeaker(Recorder, AudioDeviceSink):
    """A device that needs no sound card."""


@pytest.fixture
def no_failure() -> Callable[[str], None]:
    return lambda reason: pytest.fail(reason)


def test_loudspeaker_is_early_and_files_are_in_time(no_failure: Callable[[str], None]) -> None:
    speaker, file = Loudspeaker(), Recorder()

    async def run() -> None:
        outputs = await Outputs.open([speaker, file], FORMAT, on_failure=no_failure)
        outputs.play_early(960, PCM)
        outputs.play(480, PCM)
        outputs.show(FRAME)
        await outputs.close()

    asyncio.run(run())
    assert speaker.told == ["open", ("audio", 960), ("frame", 3), "close"]
    assert file.told == ["open", ("audio", 480), ("frame", 3), "close"]


def test_one_that_cannot_open_closes_the_others(no_failure: Callable[[str], None]) -> None:
    first, broken, never = Recorder(), Recorder(fails_at="open"), Recorder()
    with pytest.raises(SinkUnavailableError, match="not here"):
        asyncio.run(Outputs.open([first, broken, never], FORMAT, on_failure=no_failure))
    assert first.told == ["open", "close"]
    assert broken.told == ["close"]
    assert never.told == []


def test_one_that_gives_up_is_told_in_the_loop() -> None:
    failures: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def on_failure(reason: str) -> None:
            assert asyncio.get_running_loop() is loop
            failures.append(reason)

        outputs = await Outputs.open([Recorder(fails_at="close")], FORMAT, on_failure=on_failure)
        await outputs.close()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert failures == ["not here"]
