"""A real Chromium at the other end: it plays our sound with style in the padding, and its microphone reaches us.

Headless Debian Chromium with a fake microphone that plays a speech file; the page is served from 127.0.0.1 and steered
over the DevTools protocol, which is also the signalling channel.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import urllib.request
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import websockets
from numpy.typing import NDArray

from protocol.audio_payload import AudioPayload
from protocol.interfaces import EndCause, PacketCost, ReceivedPacket, SessionEnd
from protocol.opus_padding import add_padding, comfort_noise_packet, empty_packet
from protocol.style_block import StyleBlock
from receiver.session import ReceivingSession
from receiver.session_stats import ReceivingStats
from receiver.sinks.sink import CallbackSink
from talkface.rtc.link import RtcLink
from talkface_core.face.model import tiny_face_model
from talkface_core.sound.opus import OpusDecoder, OpusEncoder

if TYPE_CHECKING:
    from conftest import LinkLab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium (Debian package chromium) is not installed"),
]
PAGE = Path(__file__).with_name("chromium_page.html")
WINDOW, SLACK = 9600, 4800
Pcm = NDArray[np.int16]


class Browser:
    """Headless Chromium with one page."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the page and wait for what it returns."""
        return await self.evaluate(f"{function}({','.join(json.dumps(argument) for argument in arguments)})")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        number = next(self._ids)
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        await self._socket.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": parameters}))
        async with asyncio.timeout(20):
            while (answer := json.loads(await self._socket.recv())).get("id") != number:
                pass
        result = answer["result"]
        assert "exceptionDetails" not in result, json.dumps(result)[:600]
        return result["result"].get("value")

    async def take_heard(self) -> Pcm:
        """48 kHz mono that the page has heard since the last call."""
        return np.frombuffer(base64.b64decode(await self.call("takeHeard")), "<i2")


async def serve_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.readline():  # Chromium also opens connections that it does not use
        body = PAGE.read_bytes()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def browser(folder: Path, microphone: Path) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    server = await asyncio.start_server(serve_page, "127.0.0.1", 0)
    page_port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
        *(f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", "--use-fake-ui-for-media-stream"),
        *("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}"),
        *("--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"),
        *("--disable-features=WebRtcHideLocalIpsWithMdns", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = folder / "profile" / "DevToolsActivePort"
        async with asyncio.timeout(60):
            while not (port_file.exists() and "\n" in port_file.read_text()):
                assert process.returncode is None, "Chromium ended"
                await asyncio.sleep(0.1)
        devtools = f"http://127.0.0.1:{port_file.read_text().split()[0]}"
        request = urllib.request.Request(f"{devtools}/json/new?http://127.0.0.1:{page_port}/", method="PUT")
        tab = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=30).read()))
        async with websockets.connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            page = Browser(socket)
            async with asyncio.timeout(30):
                while await page.evaluate("document.readyState === 'complete' && 'makeAnswer' in window") is not True:
                    await asyncio.sleep(0.1)
            yield page
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        server.close()


@pytest.fixture(scope="module")
def speech(speech_packets: list[bytes]) -> Pcm:
    """What the speech packets sound like."""
    with OpusDecoder(48_000) as decoder:
        return np.concatenate([decoder.decode(packet) for packet in speech_packets])


@pytest.fixture
def microphone(tmp_path: Path, speech: Pcm) -> Path:
    path = tmp_path / "microphone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(speech.tobytes())
    return path


async def speak(link: RtcLink, packets: list[bytes], *, is_gated: bool) -> None:
    """Send the packets round and round with style in the padding; gated, with pauses as a sending session makes them.

    In a pause: a comfort-noise byte when it begins and every seventh packet time after, style in an empty packet one
    packet time before it.
    """
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for index in itertools.count():
        await asyncio.sleep(max(0.0, start_s + index * 0.06 - loop.time()))
        packet = packets[index % len(packets)]
        block = StyleBlock(style=bytes([index % 256, 1, 255, 128] * 3)).to_bytes()
        quiet = index % 50 - 30 if is_gated else -1
        if quiet < 0:
            padded = add_padding(packet, block)
            link.send_audio(padded, index * 2880, PacketCost(len(packet), len(padded) - len(packet), 0, True, 2880))
        elif quiet % 7 == 0:
            link.send_audio(comfort_noise_packet(packet[0]), index * 2880, PacketCost(1, 0, 0, False, 2880))
        elif quiet % 7 == 6:
            carrier = empty_packet(packet[0], block)
            link.send_audio(carrier, index * 2880, PacketCost(1, len(carrier) - 1, 0, False, 2880))


def envelope(pcm: Pcm) -> NDArray[np.float64]:
    """Level in 10 ms steps."""
    steps = pcm[: len(pcm) // 480 * 480].astype(np.float64).reshape(-1, 480)
    return np.sqrt((steps**2).mean(axis=1))


def best_lag(reference: NDArray[np.float64], part: NDArray[np.float64]) -> tuple[int, float]:
    """Where `part` fits best into `reference`, and the normalised correlation there."""
    size = len(reference) - len(part) + 1
    length = 1 << (len(reference) + len(part)).bit_length()
    raw = np.fft.irfft(np.fft.rfft(reference, length) * np.conj(np.fft.rfft(part, length)), length)[:size]
    energy = np.concatenate([[0.0], np.cumsum(reference**2)])
    norms = np.sqrt((energy[len(part) :] - energy[: -len(part)]) * (part**2).sum()) + 1e-9
    lag = int(np.argmax(raw / norms))
    return lag, float(raw[lag] / norms[lag])


def compare(looped: Pcm, heard: Pcm) -> dict[str, float]:
    """How `heard`, cut anywhere out of the endlessly repeated `looped`, fits: waveform per 200 ms window and level.

    A jitter buffer may slip time, so every window looks for its own lag within 100 ms.
    """
    reference = np.tile(looped, len(heard) // len(looped) + 3)
    steps, heard_steps = envelope(reference), envelope(heard)
    start = best_lag(steps[10:] - steps.mean(), heard_steps - steps.mean())[0] + 10
    fits, ratios = [], []
    for at in range(0, len(heard) - WINDOW, WINDOW):
        window = heard[at : at + WINDOW].astype(np.float64)
        if np.sqrt((window**2).mean()) < 300:
            continue
        around = start * 480 + at
        region = reference[around - SLACK : around + SLACK + WINDOW].astype(np.float64)
        lag, fit = best_lag(region, window)
        fits.append(fit)
        ratios.append(float(np.sqrt((window**2).sum() / (region[lag : lag + WINDOW] ** 2).sum())))
    assert len(fits) > 5, "the page heard hardly anything"
    together = np.corrcoef(heard_steps, steps[start : start + len(heard_steps)])[0, 1]
    return {"wave": float(np.median(fits)), "level": float(np.median(ratios)), "envelope": float(together)}


async def listen(page: Browser, warm_up_s: float, seconds: float) -> tuple[Pcm, dict[str, float]]:
    """What the page hears, and what its jitter buffer did meanwhile."""
    await asyncio.sleep(warm_up_s)
    await page.take_heard()
    before = await page.call("inbound")
    await asyncio.sleep(seconds)
    heard, after = await page.take_heard(), await page.call("inbound")
    names = ("packetsReceived", "packetsLost", "packetsDiscarded", "concealedSamples")
    return heard, {name: after.get(name, 0) - before.get(name, 0) for name in names}


def test_chromium_plays_our_sound_and_its_microphone_reaches_us(
    lab: LinkLab, speech_packets: list[bytes], speech: Pcm, microphone: Path, tmp_path: Path
) -> None:
    async def run() -> tuple[Pcm, dict[str, float], list[ReceivedPacket], list[Any], dict[str, Any]]:
        got: list[ReceivedPacket] = []
        reports: list[Any] = []
        link = lab.link(bind_addresses=None, rtcp_interval_s=1.0)
        link.on_audio(got.append)
        link.on_report(reports.append)
        async with browser(tmp_path, microphone) as page:
            await link.accept_answer(await page.call("makeAnswer", await link.create_offer()))
            await link.wait_connected(15)
            speaking = asyncio.ensure_future(speak(link, speech_packets, is_gated=False))
            heard, counters = await listen(page, 3.0, 5.0)
            stats = link.stats()
            speaking.cancel()
            await page.call("closeConnection")
            await link.close()
        return heard, counters, got, reports, stats

    heard, counters, got, reports, stats = asyncio.run(run())
    fit = compare(speech, heard)
    assert fit["wave"] > 0.999, fit
    assert abs(fit["level"] - 1) < 0.02, fit
    assert counters["packetsLost"] == 0
    assert counters["concealedSamples"] < 0.05 * len(heard), "0 on an idle machine; a busy one delays packets"
    assert counters["packetsReceived"] > 60
    assert stats.srtp_tag_bytes == 10
    assert any(report.round_trip_ms is not None for report in reports)

    contents = [packet.content for packet in got if isinstance(packet.content, AudioPayload)]
    assert len(contents) == len(got)
    assert all(content == AudioPayload(content.opus) for content in contents), "plain Opus, nothing of ours around it"
    assert {content.opus.duration_ticks for content in contents} == {2880}, "60 ms, as asked"
    microphone_packets = [content.opus.data for content in contents]
    coded = [packet for packet in microphone_packets if len(packet) > 10]
    assert {packet[0] >> 3 for packet in coded} == {11}, "SILK wideband"
    with OpusDecoder(48_000) as decoder:
        pcm = np.concatenate([decoder.decode(packet) for packet in microphone_packets[10:]])
    assert compare(speech, pcm)["envelope"] > 0.95


def test_chromium_fills_our_pauses_with_comfort_noise(
    lab: LinkLab, speech_packets: list[bytes], microphone: Path, tmp_path: Path
) -> None:
    """Chromium makes the offer here, without a data channel, as a plain web page does."""
    rng = np.random.default_rng(1)
    with OpusEncoder(bitrate_bps=8_000, packet_ms=60) as encoder:
        noise = rng.normal(0, 60, 50 * 2880).astype(np.int16)
        packets = [encoder.encode(noise[at : at + 2880]) for at in range(0, len(noise), 2880)]
    packets = [p if i % 50 >= 26 else speech_packets[i] for i, p in enumerate(packets)]

    async def run() -> tuple[Pcm, dict[str, float], bool]:
        link = lab.link(bind_addresses=None)
        async with browser(tmp_path, microphone) as page:
            await page.call("acceptAnswer", await link.accept_offer(await page.call("makeOffer")))
            await link.wait_connected(15)
            speaking = asyncio.ensure_future(speak(link, packets, is_gated=True))
            heard, counters = await listen(page, 3.0, 6.0)
            speaking.cancel()
            has_control = link.has_control
            await link.close()
        return heard, counters, has_control

    heard, counters, has_control = asyncio.run(run())
    assert counters["packetsLost"] == 0
    assert counters["concealedSamples"] < 0.1 * len(heard), "with plain gaps it is over 0.3, on an idle machine 0"
    assert not has_control
    levels = envelope(heard)
    assert np.percentile(levels, 95) > 300, "speech is heard"
    assert np.percentile(levels, 5) > 3, "and no pause is dead silence"


def test_chromiums_microphone_drives_a_face(lab: LinkLab, speech: Pcm, microphone: Path, tmp_path: Path) -> None:
    """The whole receiving session: the browser sends plain Opus, no hello, no identity and no style."""
    frames: list[NDArray[np.uint8]] = []
    sounds: list[tuple[int, Pcm]] = []
    sink = CallbackSink(
        on_frame=lambda index, samples, image: frames.append(image),
        on_audio=lambda start, pcm: sounds.append((start, pcm)),
    )
    model = tiny_face_model()

    async def run() -> tuple[ReceivingStats, SessionEnd]:
        link = lab.link(bind_addresses=None)
        session = ReceivingSession(link, lab.clock, model, [sink], default_identity=model.default_identity())
        await session.start()
        async with browser(tmp_path, microphone) as page:
            await link.accept_answer(await page.call("makeAnswer", await link.create_offer()))
            await link.wait_connected(15)
            await asyncio.sleep(6.0)
            await page.call("closeConnection")
        stats = session.stats()
        await session.stop()
        await link.close()
        return stats, await session.wait_ended()

    stats, end = asyncio.run(run())
    assert end == SessionEnd(EndCause.STOPPED), "it had not failed before"
    assert stats.audio.packets_received > 60
    assert stats.audio.lost == 0
    assert len(frames) > 75, "25 frames/s for 6 s; a busy machine may skip some"
    images = np.stack(frames).astype(np.float32)
    assert np.abs(np.diff(images, axis=0)).mean() > 0.05, "the face moves with the sound"
    heard = np.concatenate([pcm for _, pcm in sorted(sounds, key=lambda sound: sound[0])])
    assert compare(speech, heard[24_000:])["envelope"] > 0.9
