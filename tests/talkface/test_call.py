"""Sides of a call in one process, over real sockets: both directions at once, and far ends that do not behave."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import msgpack
import numpy as np
import pytest

from protocol.control import ReceivedMessage
from protocol.interfaces import EndCause, SessionEnd
from protocol.messages import MESSAGE_MAGIC, Bye
from protocol.signalling.client import SignallingClient
from protocol.signalling.server import SignallingServer
from talkface import call
from talkface.call import CallBrokenError, CallSide
from talkface.clock import MonotonicClock
from talkface.demo import SPEECH
from talkface.errors import UserError
from talkface.options import (
    MeetingOptions,
    ModelOptions,
    Role,
    RuntimeChoice,
    SideOptions,
    SinkOptions,
    SourceOptions,
    StyleChoice,
)
from talkface.rtc.call import RtcCall
from talkface.rtc.errors import LinkError
from talkface.rtc.link import RtcLink
from talkface.rtc.options import LinkOptions
from talkface.rtc.wire.meter import WireMeter
from talkface.side.record import SideRecord
from talkface_core.face.model import TalkfaceModel

pytestmark = pytest.mark.timeout(120)

SECRET = "a-secret-of-tests-4Qz9"


class SilentProgress:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.notes: list[str] = []
        self.on_waiting: Callable[[], None] = lambda: None

    def state(self, name: str, **details: Any) -> None:
        self.states.append(name)
        if name == "waiting":
            self.on_waiting()

    def tick(self, seconds: float, kbps: float) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def options(port: int, role: Role, tmp_path: Path, *, wait_s: float = 40.0, **source: Any) -> SideOptions:
    wanted = SourceOptions(**{"input": SPEECH, "duration_s": 3.0, **source}) if role.sends else None
    return SideOptions(
        role=role,
        model=ModelOptions(weights="tiny", runtime=RuntimeChoice.TORCH_CPU),
        meeting=MeetingOptions(signal_url=f"ws://127.0.0.1:{port}", room="r", secret=SECRET, wait_s=wait_s),
        source=wanted,
        sink=SinkOptions(),
        cache_folder=tmp_path / role.value,
    )


def run_side(side: SideOptions, progress: SilentProgress | None = None) -> Awaitable[SideRecord]:
    return CallSide(side, progress or SilentProgress()).run()


async def with_server(work: Callable[[int], Awaitable[Any]]) -> Any:
    async with SignallingServer("127.0.0.1", 0) as server:
        return await work(server.port)


class RawPeer:
    """A far end that says what a test wants on the control channel."""

    def __init__(self, port: int, *, max_links: int = 100) -> None:
        """`max_links`: after so many it makes no connection any more, but stays in the room."""
        clock, meter = MonotonicClock(), WireMeter(MonotonicClock())
        self.link: asyncio.Future[RtcLink] = asyncio.get_running_loop().create_future()
        num_links = iter(range(max_links))

        def make_link() -> RtcLink:
            if next(num_links, None) is None:
                raise LinkError("no more")
            return RtcLink(LinkOptions(), meter=meter, clock=clock)

        client = SignallingClient(f"ws://127.0.0.1:{port}", room="r", secret=SECRET)
        self._call = RtcCall(
            client,
            make_link,
            lambda link: None if self.link.done() else self.link.set_result(link),
            clock,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._call.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


def send(link: RtcLink, data: bytes) -> None:
    """Bytes that no message has."""
    channel: Any = link._control._channel
    channel.send(data)


@pytest.mark.network
def test_both_directions_at_once(tmp_path: Path) -> None:
    async def run(port: int) -> tuple[SideRecord, SideRecord]:
        first = options(port, Role.CALL, tmp_path / "a", style=StyleChoice.REFERENCE)
        second = options(port, Role.CALL, tmp_path / "b", style=StyleChoice.NONE, duration_s=30.0)
        return await asyncio.gather(run_side(first), run_side(second))

    records = asyncio.run(with_server(run))
    for record in records:
        assert record.receiving is not None
        assert record.sending is not None
        assert record.receiving.audio.packets_received >= 40
        assert record.receiving.video.frames_expected >= 40
        assert record.receiving.video.frames_shown >= 1  # how many, a busy machine decides
        assert record.sending.packets_sent >= 40
        assert record.notes == ()
    # One side hung up after three seconds; the other did not go on speaking to nobody.
    assert records[1].sending is not None
    assert records[1].sending.duration_s < 15
    assert records[0].wire.up.components["style"].bytes > 0
    assert records[1].wire.up.components["style"].bytes == 0


@pytest.mark.network
def test_far_end_of_another_version_is_named(tmp_path: Path) -> None:
    said: list[ReceivedMessage] = []

    async def run(port: int) -> None:
        async with RawPeer(port) as peer:
            end = asyncio.ensure_future(run_side(options(port, Role.RECEIVE, tmp_path)))
            link = await peer.link
            await link.wait_control()
            link.on_control(said.append)
            send(link, bytes([MESSAGE_MAGIC, 1]) + msgpack.packb([2, "anything"]))
            await asyncio.wait({end})
            async with asyncio.timeout(5):
                while not any(isinstance(message, Bye) for message in said):
                    await asyncio.sleep(0.01)
            await end

    with pytest.raises(UserError, match=r"protocol_version 2 is not 1: update talkface"):
        asyncio.run(with_server(run))


@pytest.mark.network
def test_far_end_that_speaks_garbage_and_vanishes(tmp_path: Path) -> None:
    """Garbage on the control channel is dropped, and a far end that leaves ends the call cleanly."""

    async def run(port: int) -> SideRecord:
        end = asyncio.ensure_future(run_side(options(port, Role.RECEIVE, tmp_path)))
        async with RawPeer(port) as peer:
            link = await peer.link
            await link.wait_control()
            random = np.random.default_rng(1)
            for _ in range(50):
                send(link, random.bytes(int(random.integers(1, 400))))
            await asyncio.sleep(1.0)
        return await end

    record = asyncio.run(with_server(run))
    assert record.receiving is not None
    assert record.receiving.control.malformed >= 40
    assert record.receiving.video.frames_shown == 0


class BrokenDecoder:
    """A bug that shows in the middle of a call."""

    def reset(self) -> None: ...

    def decode(self, payload: bytes, *, is_contiguous: bool) -> np.ndarray | None:
        raise ZeroDivisionError("a bug in the style decoder")


@pytest.mark.network
def test_crash_of_the_receiving_side_is_an_error_and_not_the_far_ends_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who crashed says so and why; the far end hears that the call is over, and nothing of our insides."""
    monkeypatch.setattr(TalkfaceModel, "payload_decoder", lambda self: BrokenDecoder())

    async def run(port: int) -> tuple[SideRecord | BaseException, SideRecord | BaseException, SessionEnd]:
        speaking = CallSide(options(port, Role.SEND, tmp_path, duration_s=30.0), SilentProgress())
        watching = CallSide(options(port, Role.CALL, tmp_path, duration_s=30.0), SilentProgress())
        spoke, watched = await asyncio.gather(speaking.run(), watching.run(), return_exceptions=True)
        assert speaking._sending is not None
        return spoke, watched, await speaking._sending.wait_ended()

    spoke, watched, end = asyncio.run(with_server(run))
    assert isinstance(watched, CallBrokenError)
    assert "ZeroDivisionError: a bug in the style decoder" in str(watched)
    assert watched.record.failure == str(watched)
    assert watched.record.sending is not None, "what was counted until then is not lost"
    assert isinstance(spoke, SideRecord)
    assert end == SessionEnd(EndCause.PEER_LEFT, "an error")


@pytest.mark.parametrize("cause", ["certificate", "interrupt"])
def test_what_ends_the_preparation_ends_receiving_too(tmp_path: Path, cause: str) -> None:
    """Receiving is ready by then: its file is finished (here: removed, as nothing was written) and its threads end."""
    output, no_certificate = tmp_path / "call.mp4", tmp_path / "ca.pem"
    no_certificate.write_text("no certificate")
    side = options(9, Role.RECEIVE, tmp_path)
    if cause == "certificate":
        side = replace(side, meeting=replace(side.meeting, ca_file=no_certificate))
    progress = SilentProgress()
    if cause == "interrupt":
        progress.on_waiting = lambda: os.kill(os.getpid(), signal.SIGINT)
    message = "not a certificate in PEM" if cause == "certificate" else "stopped before the far end was reached"
    with pytest.raises(UserError, match=message):
        asyncio.run(run_side(replace(side, sink=SinkOptions(output=output)), progress))
    assert "waiting" in progress.states
    assert not output.exists()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("talkface-")]


@pytest.mark.network
def test_sender_says_when_the_far_end_never_greets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkface.call.HELLO_LIMIT_S", 1.0)

    async def run(port: int) -> None:
        async with RawPeer(port):
            await run_side(options(port, Role.SEND, tmp_path))

    with pytest.raises(UserError, match="did not say hello within 1 s"):
        asyncio.run(with_server(run))


@pytest.mark.network
@pytest.mark.timeout(60)
def test_a_path_that_is_lost_is_given_up_in_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only after the time in which somebody may come."""
    monkeypatch.setattr(call, "GIVE_UP_S", 2.0)

    async def run(port: int) -> None:
        side = options(port, Role.RECEIVE, tmp_path, wait_s=600.0)
        async with RawPeer(port, max_links=1) as peer:
            running = asyncio.ensure_future(run_side(side))
            link = await peer.link
            await asyncio.sleep(1.0)
            await link.close()
            with pytest.raises(UserError, match="the path to the far end was lost for 2 s"):
                await running

    asyncio.run(with_server(run))


@pytest.mark.network
def test_a_wrong_secret_is_told_to_both_ends(tmp_path: Path) -> None:
    async def run(port: int) -> list[SilentProgress]:
        ends = []
        for role, secret in ((Role.RECEIVE, "tea"), (Role.SEND, "coffee")):
            side = options(port, role, tmp_path, wait_s=20.0)
            side = replace(side, meeting=replace(side.meeting, secret=secret))
            ends.append((SilentProgress(), side))
        tasks = [asyncio.ensure_future(run_side(side, progress)) for progress, side in ends]
        async with asyncio.timeout(20):
            while not all(any("another secret" in note for note in progress.notes) for progress, _ in ends):
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return [progress for progress, _ in ends]

    for progress in asyncio.run(with_server(run)):
        assert "somebody waits in room 'r' with another secret: both ends need the same one" in progress.notes


def test_nobody_comes(tmp_path: Path) -> None:
    progress = SilentProgress()
    with pytest.raises(UserError, match=r"nobody could be reached in room 'r' within 1 s"):
        asyncio.run(with_server(lambda port: run_side(options(port, Role.SEND, tmp_path, wait_s=1.0), progress)))
    assert progress.states[:2] == ["loading", "waiting"]


def test_an_older_recording_stays_when_nobody_comes(tmp_path: Path) -> None:
    kept = tmp_path / "keep.mp4"
    kept.write_bytes(b"what the user has from before")
    side = replace(options(0, Role.RECEIVE, tmp_path, wait_s=1.0), sink=SinkOptions(output=kept))

    async def run(port: int) -> None:
        await run_side(replace(side, meeting=replace(side.meeting, signal_url=f"ws://127.0.0.1:{port}")))

    with pytest.raises(UserError, match="nobody could be reached"):
        asyncio.run(with_server(run))
    assert kept.read_bytes() == b"what the user has from before"
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["keep.mp4"]


@pytest.mark.network
def test_a_call_that_breaks_says_how_much_its_recording_holds(tmp_path: Path) -> None:
    """The far end speaks another version in the middle of the call."""

    async def run(port: int) -> None:
        side = options(port, Role.RECEIVE, tmp_path)
        watching = asyncio.ensure_future(run_side(replace(side, sink=SinkOptions(output=tmp_path / "call.mp4"))))
        speaking = CallSide(options(port, Role.SEND, tmp_path, duration_s=30.0), SilentProgress())
        spoke = asyncio.ensure_future(speaking.run())
        while speaking._sending is None or speaking._sending.stats().packets_sent < 40:
            await asyncio.sleep(0.05)
        send(speaking._sending._peer._link, bytes([MESSAGE_MAGIC, 1]) + msgpack.packb([2, "anything"]))
        await asyncio.gather(spoke, return_exceptions=True)
        await watching

    with pytest.raises(CallBrokenError, match=r"update talkface.*; .*call\.mp4 holds \d\.\d s$") as caught:
        asyncio.run(with_server(run))
    recording = caught.value.record.recording
    assert recording is not None
    with av.open(str(tmp_path / "call.mp4")) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(recording.seconds, abs=0.2)


def test_no_signalling_server(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"signalling server ws://127\.0\.0\.1:9"):
        asyncio.run(run_side(options(9, Role.SEND, tmp_path, wait_s=3.0)))


def write_media(path: Path, *, with_sound: bool, with_picture: bool, seconds: float = 2.0) -> Path:
    """A small MP4: a tone, a grey picture, or both."""
    with av.open(str(path), "w") as container:
        if with_picture:
            video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = 98, 66, "yuv420p"
            for _ in range(int(seconds * 25)):
                picture = av.VideoFrame.from_ndarray(np.full((66, 98, 3), 90, np.uint8), format="rgb24")
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
        if with_sound:
            audio = container.add_stream("aac", rate=44_100, layout="stereo")
            wave = 0.3 * np.sin(np.arange(int(44_100 * seconds)) * 0.05)
            for start in range(0, wave.size - 1024, 1024):
                frame = av.AudioFrame.from_ndarray(
                    np.tile(wave[start : start + 1024], (2, 1)).astype(np.float32), format="fltp", layout="stereo"
                )
                frame.sample_rate, frame.pts = 44_100, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def test_unusable_input_is_refused_before_anyone_is_met(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(2).bytes(5_000))
    mute = write_media(tmp_path / "mute.mp4", with_sound=False, with_picture=True)
    sound_only = write_media(tmp_path / "sound.mp4", with_sound=True, with_picture=False)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"input": garbage}, "garbage.mp4 is not a recording that can be read"),
        ({"input": mute}, "mute.mp4 holds no sound"),
        ({"input": sound_only, "style": StyleChoice.LIVE}, "sound.mp4 holds no picture"),
        ({"input": SPEECH, "identity": str(garbage)}, "identity file magic is not TFID"),
        ({"input": SPEECH, "style_track": garbage, "style": StyleChoice.REFERENCE}, "style track"),
        ({"input": None, "microphone": "no such device"}, "microphone 'no such device' cannot be opened"),
    ]
    for source, message in cases:
        with pytest.raises(UserError, match=message):
            asyncio.run(run_side(options(9, Role.SEND, tmp_path, **source)))


def test_missing_camera_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def microphone_only(name: str, kind: str) -> Any:
        opened.append(kind)
        if kind == "camera":
            from sender.sources.devices import open_device

            return open_device(name, kind)
        return av.open(str(SPEECH))

    monkeypatch.setattr("talkface.side.parts.open_device", microphone_only)
    source = {"input": None, "microphone": "default", "camera": "/dev/video_none"}
    with pytest.raises(UserError, match="camera '/dev/video_none' cannot be opened"):
        asyncio.run(run_side(options(9, Role.SEND, tmp_path, **source)))
    assert opened == ["microphone", "camera"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    end = options(9, Role.RECEIVE, locked)
    with pytest.raises(UserError, match="--cache-folder"):
        asyncio.run(run_side(end))


def test_output_where_a_folder_is(tmp_path: Path) -> None:
    folder = tmp_path / "taken.mp4"
    folder.mkdir()
    side = replace(options(9, Role.RECEIVE, tmp_path), sink=SinkOptions(output=folder))
    with pytest.raises(UserError, match=r"taken\.mp4 is a folder, and a file is wanted"):
        asyncio.run(run_side(side))
