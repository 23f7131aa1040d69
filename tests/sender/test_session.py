"""The sending session over a link in memory: pace, ends, reports, links that break, peers that vanish."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.control import OtherVersion
from protocol.identity.transfer import offer_identity
from protocol.interfaces import EndCause, ReceptionReport, SessionEnd
from protocol.messages import (
    Bye,
    Hello,
    IdentityData,
    IdentityOffer,
    IdentityRequest,
)
from protocol.opus_padding import split_padding
from protocol.presets import get_preset
from protocol.style_block import StyleBlock
from sender.errors import (
    DeviceUnavailableError,
    InvalidStateError,
    PeerSilentError,
    PeerVersionError,
    SenderError,
    UnreadableMediaError,
)
from sender.outgoing import Outgoing, SendingOptions
from sender.session import SendingSession
from sender.session_stats import SendingStats
from sender.sources.devices import Microphone
from sender.sources.file_audio import FileAudio
from sender.sources.file_frames import FileFrames
from sender.sources.live_style import LiveStyle
from sender.sources.style import ReferenceStyle, StyleSource
from talkface_core.interfaces import FaceModelInfo
from talkface_core.style.track import StyleTrack

WEIGHTS = "ab" * 32
IDENTITY = bytes(range(256)) * 40


class Model:
    """What a sender needs of a face model, with a style codec that tests can read."""

    def __init__(self, codec: Any) -> None:
        self.codec = codec
        self.info = FaceModelInfo(
            name="test",
            latent_dim=8,
            resolution_px=64,
            num_layers=4,
            frame_rate=Fraction(25),
            sample_rate_hz=16_000,
            audio_past_samples=3200,
            audio_lookahead_samples=1600,
            style_table_id=3,
            weights_sha256=WEIGHTS,
            code_version=1,
        )

    def payload_encoder(self) -> Any:
        return self.codec

    def style_encoder(self) -> Any:
        class Brightness:
            def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
                return np.full(16, frame.mean() / 255, np.float32)

        return Brightness()

    def payload_decoder(self) -> Any:
        raise AssertionError("a sender decodes nothing")

    def renderer(self, identity: Any, *, runtime: str = "auto") -> Any:
        raise AssertionError("a sender draws nothing")


class Syllables:
    """Voice that never pauses, for so many packets: bursts with quiet between, as steady noise is no voice."""

    is_live = False

    def __init__(self, num_packets: int, *, fails_at: int | None = None) -> None:
        self.left, self.fails_at, self.is_closed = num_packets, fails_at, False
        self.rng = np.random.default_rng(0)
        self.count = self.num_samples = 0

    def open(self) -> None: ...

    def read(self, num_samples: int) -> NDArray[np.int16] | None:
        if self.count == self.fails_at:
            raise DeviceUnavailableError("microphone 'x' has gone away")
        self.count += 1
        self.left -= 1
        if self.left < 0:
            return None
        time = np.arange(self.num_samples, self.num_samples + num_samples) / 48_000
        self.num_samples += num_samples
        return (self.rng.normal(size=num_samples) * np.where(time % 0.6 < 0.4, 3000, 10)).astype(np.int16)

    def close(self) -> None:
        self.is_closed = True


def syllables(seconds: float) -> NDArray[np.float64]:
    """The same as samples of a file."""
    source = Syllables(round(seconds / 0.06))
    parts = [source.read(2880) for _ in range(round(seconds / 0.06))]
    return np.concatenate([part for part in parts if part is not None]) / 32768.0


def hello(*, table: int = 3, weights: str = WEIGHTS) -> Hello:
    return Hello(weights_sha256=weights, resolution_px=64, frame_rate=Fraction(25), style_table_id=table)


async def until(condition: Callable[[], bool]) -> None:
    """Let the session work until something has happened."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)  # spinning would keep the worker from the interpreter


def track() -> StyleTrack:
    return StyleTrack(np.linspace(-1, 1, 25 * 16).reshape(25, 16).astype(np.float32), Fraction(25))


def styles(link: Any) -> list[bytes]:
    blocks = [StyleBlock.from_bytes(split_padding(payload)[1]) for _, payload, _, _ in link.audio]
    return [block.style for block in blocks if block is not None and block.style]


@pytest.fixture
def link(make_link: Callable[[], Any]) -> Any:
    link = make_link()
    link.greeting = [hello()]
    return link


@pytest.fixture
def session(link: Any, clock: Any, style_codec: Any) -> Callable[..., SendingSession]:
    def make(audio: Any = None, *, style: StyleSource | None = None, **options: Any) -> SendingSession:
        outgoing = Outgoing(audio=audio or Syllables(50), style=style or ReferenceStyle(track()), identity=IDENTITY)
        return SendingSession(link, clock, Model(style_codec), outgoing, SendingOptions(**options), sleep=clock.sleep)

    return make


def run(session: SendingSession) -> SendingStats:
    async def scenario() -> SendingStats:
        await session.start()
        assert await session.wait_ended() == SessionEnd(EndCause.FINISHED)
        await session.stop()
        return session.stats()

    return asyncio.run(scenario())


def test_a_file_is_sent_in_real_time_and_ends_cleanly(session: Any, link: Any, tmp_path: Path, media: Any) -> None:
    stats = run(session(FileAudio(media(tmp_path / "a.wav", audio=syllables(3.0)))))
    start_us = link.audio[0][0] - 60_000
    for time_us, _, ticks, _ in link.audio:
        assert time_us - start_us == pytest.approx((ticks + 2880) / 0.048, abs=2)
    assert stats.packets_sent == len(link.audio) == 50
    assert stats.duration_s == pytest.approx(3.0)
    assert stats.talk_s == pytest.approx(3.0)
    assert "libopus" in stats.encoder
    assert stats.style == "reference"


def test_greeting_offers_the_identity_by_hash_and_sends_it_when_asked(session: Any, link: Any) -> None:
    request = IdentityRequest(content_sha256=offer_identity(IDENTITY).content_sha256)
    link.answer = lambda message: [request] if isinstance(message, IdentityOffer) else []
    stats = run(session())
    assert [type(message) for message in link.control] == [IdentityOffer, IdentityData]
    assert stats.control.identity_bytes_sent == len(IDENTITY)


def test_stats_agree_with_what_was_sent(session: Any, link: Any) -> None:
    stats = run(session(Syllables(80)))
    for name in ("opus_bytes", "style_bytes", "redundancy_bytes"):
        assert getattr(stats, name) == sum(getattr(cost, name) for _, _, _, cost in link.audio)
    assert sum(getattr(stats, n) for n in ("opus_bytes", "style_bytes", "redundancy_bytes")) == sum(
        len(p) for _, p, _, _ in link.audio
    )
    assert stats.style_blocks == len(styles(link)) > 10
    assert stats.style_payload_bytes == sum(map(len, styles(link)))


def test_duration_ends_an_endless_source(session: Any) -> None:
    assert run(session(Syllables(10**9), duration_s=1.5)).duration_s == pytest.approx(1.5, abs=0.06)


def test_live_style_of_a_video_file(session: Any, link: Any, tmp_path: Path, media: Any, style_codec: Any) -> None:
    path = media(tmp_path / "a.mkv", audio=syllables(2.0), num_pictures=50)
    style = LiveStyle(FileFrames(path, Fraction(25)), Model(style_codec).style_encoder(), Fraction(25))
    stats = run(session(FileAudio(path), style=style))
    assert stats.style == "live"
    assert stats.pictures.frames_encoded > 0
    assert len(styles(link)) >= 10


def test_a_microphone_paces_the_call_itself(session: Any, link: Any, clock: Any) -> None:
    made = session(Microphone("lavfi:aevalsrc='0.2*random(0)*lt(mod(t,0.6),0.4)':sample_rate=44100"), duration_s=3.0)
    assert run(made).duration_s == pytest.approx(3.0)
    assert clock.num_sleeps == 0
    assert [ticks for _, _, ticks, _ in link.audio] == [2880 * i for i in range(50)]


def test_reports_of_loss_bring_redundancy_and_a_refresh(session: Any, link: Any) -> None:
    async def scenario() -> SendingSession:
        made: SendingSession = session(Syllables(10**9), duration_s=6.0)
        await made.start()
        await until(lambda: len(link.audio) >= 30)
        link.report_callback(ReceptionReport(fraction_lost=0.1, jitter_ms=4.0, round_trip_ms=60.0))
        await made.wait_ended()
        await made.stop()
        return made

    stats = asyncio.run(scenario()).stats()
    assert stats.redundancy
    assert stats.preset == "default"
    assert stats.reported_loss == 0.1
    assert not any(cost.redundancy_bytes for _, _, _, cost in link.audio[:29])
    assert all(cost.redundancy_bytes for _, _, _, cost in link.audio[40:])


def test_congestion_steps_down_to_longer_packets(session: Any, link: Any, clock: Any) -> None:
    async def scenario() -> SendingSession:
        made: SendingSession = session(Syllables(10**9), duration_s=40.0)
        await made.start()
        seen = 0
        for round_trip in (60.0, 60.0, 900.0, 900.0, 900.0):
            seen += 80
            await until(lambda seen=seen: len(link.audio) >= seen)  # type: ignore[misc]
            link.report_callback(ReceptionReport(fraction_lost=0.0, jitter_ms=4.0, round_trip_ms=round_trip))
        await made.wait_ended()
        await made.stop()
        return made

    stats = asyncio.run(scenario()).stats()
    assert (stats.preset, stats.lips) == ("minimum", False)
    times = [ticks for _, _, ticks, _ in link.audio]
    assert times[-1] - times[-2] == 5760
    assert all(b > a for a, b in itertools.pairwise(times))


def test_a_new_link_goes_on_where_the_sound_is(session: Any, link: Any, make_link: Callable[[], Any]) -> None:
    second = make_link()
    second.greeting = [hello()]

    async def scenario() -> SendingSession:
        made: SendingSession = session(Syllables(10**9), duration_s=9.0)
        await made.start()
        await until(lambda: len(link.audio) >= 40)
        link.is_broken = True
        await until(lambda: made.stats().packets_unsent >= 20)
        await made.replace_link(second)
        link.report_callback(ReceptionReport(fraction_lost=0.9, jitter_ms=0.0, round_trip_ms=None))  # of the old link
        await made.wait_ended()
        await made.stop()
        return made

    made = asyncio.run(scenario())
    stats = made.stats()
    assert stats.links == 2
    assert not stats.redundancy
    assert [type(message) for message in second.control] == [IdentityOffer]
    last, first = link.audio[-1][2], second.audio[0][2]
    assert first >= last + 20 * 2880
    assert [t for _, _, t, _ in second.audio] == list(range(first, first + len(second.audio) * 2880, 2880))
    assert 1 in {style[0] for style in styles(second)[:2]}, "the first style made for a new link is absolute"
    assert stats.packets_sent == len(link.audio) + len(second.audio)


def test_a_far_end_that_stays_silent_on_the_new_link_does_not_end_the_call(
    session: Any, link: Any, make_link: Callable[[], Any]
) -> None:
    second = make_link()

    async def scenario() -> None:
        made: SendingSession = session(Syllables(10**9), duration_s=60.0, hello_timeout_s=0.05)
        await made.start()
        await made.replace_link(second)
        await until(lambda: len(second.audio) >= 5)
        await made.stop()

    asyncio.run(scenario())


def test_a_far_end_that_says_bye_ends_the_sending(session: Any, link: Any) -> None:
    async def scenario() -> None:
        made: SendingSession = session(Syllables(10**9))
        await made.start()
        await until(lambda: len(link.audio) >= 5)
        link.control_callback(Bye(reason="dinner"))
        assert await made.wait_ended() == SessionEnd(EndCause.PEER_LEFT, "dinner")
        count = len(link.audio)
        await made.stop()
        assert len(link.audio) == count
        assert await made.wait_ended() == SessionEnd(EndCause.PEER_LEFT, "dinner")  # whoever asks, however often

    asyncio.run(scenario())


@pytest.mark.parametrize(("reply", "error"), [("version", PeerVersionError), ("nothing", PeerSilentError)])
def test_a_far_end_that_cannot_be_talked_to(
    session: Any, link: Any, reply: str, error: type[SenderError], tmp_path: Path, media: Any
) -> None:
    link.greeting = [OtherVersion("update talkface")] if reply == "version" else []
    source = Syllables(10)
    made = session(source, hello_timeout_s=0.05)
    with pytest.raises(error):
        asyncio.run(made.start())
    assert source.is_closed
    assert not link.audio


def test_a_peer_that_vanishes_leaves_nothing_behind(session: Any, link: Any) -> None:
    async def scenario() -> int:
        made: SendingSession = session(Syllables(10**9))
        await made.start()
        link.is_broken = True
        await until(lambda: made.stats().packets_unsent >= 10)
        await made.stop()
        await made.stop()
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


def test_stopping_is_safe_from_any_state(session: Any, link: Any) -> None:
    async def before_the_start() -> None:
        made: SendingSession = session()
        await made.stop()
        assert await made.wait_ended() == SessionEnd(EndCause.STOPPED)
        with pytest.raises(InvalidStateError):
            await made.start()

    async def while_it_greets() -> None:
        link.greeting = []
        source = Syllables(10)
        made: SendingSession = session(source)
        start = asyncio.create_task(made.start())
        await until(lambda: link.control_callback is not None)
        await asyncio.gather(made.stop(), made.stop())
        with pytest.raises(InvalidStateError, match="stopped while it started"):
            await start
        assert await made.wait_ended() == SessionEnd(EndCause.STOPPED)
        assert source.is_closed

    async def after_a_failed_start() -> None:
        made: SendingSession = session(hello_timeout_s=0.05)
        with pytest.raises(PeerSilentError):
            await made.start()
        await made.stop()
        with pytest.raises(PeerSilentError):
            await made.wait_ended()

    for scenario in (before_the_start, while_it_greets, after_a_failed_start):
        asyncio.run(scenario())


def test_it_starts_once(session: Any) -> None:
    async def scenario() -> None:
        made: SendingSession = session()
        await made.start()
        with pytest.raises(InvalidStateError):
            await made.start()
        await made.stop()
        assert await made.wait_ended() == SessionEnd(EndCause.STOPPED)

    asyncio.run(scenario())


def test_a_link_that_comes_after_the_end_is_left_alone(session: Any, make_link: Callable[[], Any]) -> None:
    second = make_link()

    async def scenario() -> None:
        made: SendingSession = session()
        await made.start()
        await made.stop()
        await made.replace_link(second)

    asyncio.run(scenario())
    assert not second.control


def test_statistics_of_a_session_that_never_started(session: Any) -> None:
    stats = session().stats()
    assert (stats.packets_sent, stats.duration_s, stats.encoder, stats.preset) == (0, 0.0, "", "default")


def test_other_style_tables_get_no_style_and_a_note(session: Any, link: Any) -> None:
    link.greeting = [hello(table=9)]
    made = session()
    stats = run(made)
    assert stats.style_blocks == 0
    assert any("style table 9" in note for note in made.notes)
    assert not styles(link)


def test_other_weights_get_sound_and_style_but_no_identity(session: Any, link: Any) -> None:
    link.greeting = [hello(weights="cd" * 32)]
    made = session()
    run(made)
    assert not any(isinstance(message, IdentityOffer) for message in link.control)
    assert any("other weights" in note for note in made.notes)


def test_a_browser_is_not_greeted(session: Any, link: Any) -> None:
    stats = run(session(expects_hello=False))
    assert stats.packets_sent == 50
    assert not link.control


def test_a_source_that_fails_on_the_way_ends_with_its_own_words(session: Any) -> None:
    async def scenario() -> None:
        made: SendingSession = session(Syllables(100, fails_at=20))
        await made.start()
        for _ in range(2):
            with pytest.raises(DeviceUnavailableError, match="gone away"):
                await made.wait_ended()
        await made.stop()
        with pytest.raises(DeviceUnavailableError, match="gone away"):
            await made.wait_ended()

    asyncio.run(scenario())


def test_a_bug_on_the_way_does_not_end_silently(session: Any) -> None:
    class Broken(Syllables):
        def read(self, num_samples: int) -> NDArray[np.int16] | None:
            return np.zeros(num_samples + 1, np.int16)

    with pytest.raises(SenderError, match="sending stopped"):
        run(session(Broken(10)))


def test_a_source_that_cannot_be_opened_is_said_before_any_greeting(session: Any, link: Any, tmp_path: Path) -> None:
    with pytest.raises(UnreadableMediaError, match="does not exist"):
        asyncio.run(session(FileAudio(tmp_path / "none.wav")).start())
    assert not link.control


def test_a_machine_that_slept_does_not_burst(session: Any, link: Any, clock: Any) -> None:
    async def scenario() -> SendingSession:
        made: SendingSession = session(Syllables(10**9), duration_s=6.0)
        await made.start()
        await until(lambda: len(link.audio) >= 20)
        clock.time_us += 30_000_000
        await made.wait_ended()
        await made.stop()
        return made

    assert asyncio.run(scenario()).stats().clock_slips == 1
    gaps = np.diff([time_us for time_us, _, _, _ in link.audio])
    assert sum(gap < 50_000 for gap in gaps) <= 3  # those that were on their way


@pytest.mark.parametrize("name", ["minimum", "default", "good", "robust"])
def test_each_preset_costs_what_it_says(session: Any, link: Any, name: str) -> None:
    """Of noise, which costs more than speech: the style budget and the packet rate are exact, Opus is near nominal."""
    preset = get_preset(name)
    stats = run(session(Syllables(10**9), preset=preset, duration_s=20.0))
    assert stats.packets_sent == pytest.approx(20_000 / preset.packet_ms, abs=1)
    assert stats.style_bytes * 8 / 20 <= preset.style_limit_bps * 1.06
    assert stats.opus_bytes * 8 / 20 <= preset.bitrate_bps * 1.25
    assert (stats.redundancy_bytes > 0) == preset.redundancy
