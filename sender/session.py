"""One direction of a call from the sending end: paces the source, makes packets, follows reports, survives new links.

    source ──read──> [worker thread: encode, gate, style] ──packets──> link
                                 ^ plan                     reports ──> rate control

Sound is the master: packet k leaves when its sound has ended, counted from the start by the injected clock (a file)
or by the device (a microphone). A link that breaks drops packets, not time: the next link goes on where the sound is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from protocol.interfaces import Clock, MediaLink, ReceptionReport
from protocol.messages import Hello
from protocol.presets import Preset, get_preset
from protocol.rtp_time import RTP_CLOCK_HZ
from sender.errors import PeerSilentError, SenderError
from sender.handshake import Handshake
from sender.media_time import MediaTime
from sender.packet_stream import PacketStream
from sender.packetizer import OutgoingPacket
from sender.rate_control import RateController
from sender.sources.interfaces import AudioSource
from sender.sources.style import NoStyle, StyleSource
from sender.speech_encoder import SpeechEncoder, open_speech_encoder
from sender.style_scheduler import StyleScheduler
from talkface_core.interfaces import FaceModel

logger = logging.getLogger(__name__)

MAX_SEND_TIMES = 100_000
"""Send times kept for latency measurements: 100 minutes at 60 ms."""
MAX_LAG_US = 1_000_000
"""When the machine slept for longer than this, a file goes on from now instead of catching up in a burst."""


class SendingSession:
    """Sends one person's sound and style over a MediaLink. All methods belong to one event loop."""

    def __init__(
        self,
        link: MediaLink,
        clock: Clock,
        model: FaceModel,
        source: AudioSource,
        style: StyleSource | None = None,
        preset: Preset | None = None,
        *,
        identity: bytes | None = None,
        adaptive: bool = True,
        expects_hello: bool = True,
        hello_timeout_s: float = 20.0,
        duration_s: float | None = None,
        agent: str = "",
        media_time: MediaTime | None = None,
        encoder: SpeechEncoder | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            link: connected or connecting; `replace_link` puts another in its place.
            source: sound; opened by `start`, closed by `stop`.
            style: None for sound and identity alone.
            preset: None for "default".
            identity: bytes of the identity file, offered by hash.
            adaptive: rate control may leave the preset.
            expects_hello: False for a plain browser, which has no control channel.
            duration_s: end after so much sound.
            media_time: shared with a camera.
            encoder: another encoder than the machine's best.
            sleep: how to wait; tests move a fake clock.
        """
        self._link = link
        self._clock = clock
        self._model = model
        self._source = source
        self._style: StyleSource = style if style is not None else NoStyle()
        self._preset = preset if preset is not None else get_preset("default")
        self._identity = identity
        self._expects_hello = expects_hello
        self._hello_timeout_s = hello_timeout_s
        self._limit_ticks = None if duration_s is None else round(duration_s * RTP_CLOCK_HZ)
        self._agent = agent
        self._media_time = media_time or MediaTime(clock)
        self._encoder = encoder
        self._sleep = sleep
        self._rate = RateController(self._preset, adaptive=adaptive)
        self._needs_refresh = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sender")
        self._handshake: Handshake | None = None
        self._stream: PacketStream | None = None
        self._scheduler: StyleScheduler | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._failure: SenderError | None = None
        self._peer_left: str | None = None
        self._send_times: deque[tuple[int, int]] = deque(maxlen=MAX_SEND_TIMES)
        self._last_report: ReceptionReport | None = None
        self._retired_counters = (0, 0, 0)
        self._num_links = 1
        self._num_unsent = 0
        self._num_slips = 0
        self.notes: list[str] = []
        """Sentences for the user: what does not fit the far end."""

    # --- life ---

    async def start(self) -> None:
        """Open the source, greet the far end, begin to send.

        Raises:
            SourceError: the source gives no sound, or live style no picture.
            PeerVersionError, PeerSilentError: there is nobody to talk to.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._source.open)
            await loop.run_in_executor(self._executor, self._style.start)
            await self._attach(self._link)
        except BaseException:
            await self._release()
            raise
        encoder = self._encoder or open_speech_encoder(self._preset)
        self._encoder = encoder
        self._stream = PacketStream(encoder, self._preset, self._scheduler)
        self._task = asyncio.create_task(self._run(self._stream))

    async def wait_ended(self) -> None:
        """Until the source has ended, the far end has left, or `stop` was called.

        Raises:
            SourceError: the source failed on the way.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self, reason: str = "") -> None:
        """Say bye, end the worker, close the source. Safe to call twice and from any state."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._handshake is not None:
            await self._handshake.say_bye(reason)
        self._retire_handshake()
        await self._release()
        self._ended.set()

    async def replace_link(self, new_link: MediaLink) -> None:
        """Go on over another link: timestamps run on, hello and the identity's hash are said again.

        A far end that does not greet in time is no error here: sound flows, and the next link tries again.

        Raises:
            PeerVersionError: the far end came back as another version.
        """
        self._retire_handshake()
        self._link = new_link
        self._num_links += 1
        self._rate.on_new_link()
        self._needs_refresh = True
        try:
            await self._attach(new_link)
        except PeerSilentError as error:
            logger.warning("%s", error)

    # --- what others ask ---

    @property
    def has_ended(self) -> bool:
        """True once nothing more will be sent."""
        return self._ended.is_set()

    @property
    def peer_left(self) -> str | None:
        """The far end's reason for its bye, None while it is there."""
        return self._peer_left

    def send_times(self) -> list[tuple[int, int]]:
        """(timestamp in ticks, monotonic us at which it was given to the link) of every packet, oldest first."""
        return list(self._send_times)

    def stats(self) -> dict[str, Any]:
        """Counters for reports and logs; plain values."""
        stream, scheduler = self._stream, self._scheduler
        control = self._control_counters()
        totals = stream.totals if stream is not None else None
        plan = self._rate.plan
        return {
            "duration_s": totals.total_ticks / RTP_CLOCK_HZ if totals else 0.0,
            "talk_s": totals.talk_ticks / RTP_CLOCK_HZ if totals else 0.0,
            "packets_sent": len(self._send_times) if totals is None else totals.num_packets - self._num_unsent,
            "packets_unsent": self._num_unsent,
            "speech_packets": totals.num_speech_packets if totals else 0,
            "lookback_packets": totals.num_lookback_packets if totals else 0,
            "opus_bytes": totals.opus_bytes if totals else 0,
            "style_bytes": totals.style_bytes if totals else 0,
            "redundancy_bytes": totals.redundancy_bytes if totals else 0,
            "style_blocks": scheduler.num_blocks if scheduler else 0,
            "style_payload_bytes": scheduler.num_payload_bytes if scheduler else 0,
            "style_over_budget": scheduler.num_over_budget if scheduler else 0,
            "style": self._style.name,
            "pictures": self._style.stats(),
            "encoder": self._encoder.name if self._encoder is not None else "",
            "preset": plan.preset.name,
            "redundancy": plan.redundancy,
            "lips": plan.with_lips,
            "plan_changes": self._rate.num_changes,
            "links": self._num_links,
            "clock_slips": self._num_slips,
            "identity_bytes_sent": control[0],
            "control_malformed": control[1],
            "control_ignored": control[2],
            "far_end_loss": self._last_report.fraction_lost if self._last_report else None,
            "round_trip_ms": self._last_report.round_trip_ms if self._last_report else None,
            "peer_left": self._peer_left,
        }

    # --- inside ---

    async def _attach(self, link: MediaLink) -> None:
        """Greet the far end of a link and listen to its reports."""
        link.on_report(lambda report: self._reported(link, report))
        if not self._expects_hello:
            self._make_scheduler()
            return
        info = self._model.info
        ours = Hello(
            weights_sha256=info.weights_sha256,
            resolution_px=info.resolution_px,
            frame_rate=info.frame_rate,
            style_table_id=info.style_table_id,
            agent=self._agent,
        )
        self._handshake = handshake = Handshake(link, ours, self._identity, on_bye=self._left)
        theirs = await handshake.greet(self._hello_timeout_s)
        self.notes = ours.mismatches(theirs)
        for note in self.notes:
            logger.warning("%s", note)
        if theirs.style_table_id == info.style_table_id:
            self._make_scheduler()

    def _retire_handshake(self) -> None:
        """Stop listening to a link; what was counted on it stays."""
        if self._handshake is not None:
            self._retired_counters = self._control_counters()
            self._handshake.close()
            self._handshake = None

    def _control_counters(self) -> tuple[int, int, int]:
        """Identity bytes sent, messages malformed and ignored, over all links."""
        sent, malformed, ignored = self._retired_counters
        handshake = self._handshake
        if handshake is None:
            return sent, malformed, ignored
        return (
            sent + handshake.identity_bytes_sent,
            malformed + handshake.num_malformed,
            ignored + handshake.num_ignored,
        )

    def _make_scheduler(self) -> None:
        """Style is not sent to an end that has said that it cannot read it."""
        if self._scheduler is None and self._stream is None and self._style.name != "none":
            self._scheduler = StyleScheduler(self._model.payload_encoder(), self._preset)

    async def _run(self, stream: PacketStream) -> None:
        """The sending loop; ends with the source."""
        loop = asyncio.get_running_loop()
        start_us = self._clock.now_us()
        try:
            while self._limit_ticks is None or stream.ticks < self._limit_ticks:
                self._follow_plan(stream)
                pcm = await loop.run_in_executor(self._executor, self._source.read, stream.samples_per_packet)
                if pcm is None:
                    break
                end_ticks = stream.ticks + stream.packet_ticks
                if not self._source.is_live:
                    start_us = await self._wait_until(start_us, end_ticks)
                self._media_time.mark(end_ticks)
                values = self._style.values_at(end_ticks)
                packets = await loop.run_in_executor(self._executor, stream.process, pcm, values)
                for packet in packets:
                    self._send(packet)
        except SenderError as error:
            self._failure = error
        except Exception as error:
            logger.exception("sending stopped")
            self._failure = SenderError(f"sending stopped: {type(error).__name__}: {error}")
        finally:
            self._ended.set()

    async def _wait_until(self, start_us: int, end_ticks: int) -> int:
        """Wait for the end of a packet of a file; returns the start of the file's time, moved after a long sleep."""
        due_us = start_us + end_ticks * 1_000_000 // RTP_CLOCK_HZ
        now_us = self._clock.now_us()
        if now_us < due_us:
            await self._sleep((due_us - now_us) / 1_000_000)
        elif now_us - due_us > MAX_LAG_US:
            self._num_slips += 1
            return start_us + (now_us - due_us)
        return start_us

    def _send(self, packet: OutgoingPacket) -> None:
        try:
            self._link.send_audio(packet.payload, packet.timestamp_ticks, packet.cost)
        except ConnectionError:
            self._num_unsent += 1
            return
        self._send_times.append((packet.timestamp_ticks, self._clock.now_us()))

    def _follow_plan(self, stream: PacketStream) -> None:
        """Between two packets, while the worker is idle."""
        plan = self._rate.plan
        stream.configure(plan.preset, redundancy=plan.redundancy, with_lips=plan.with_lips)
        if self._needs_refresh:
            self._needs_refresh = False
            stream.request_refresh()

    def _reported(self, link: MediaLink, report: ReceptionReport) -> None:
        if link is not self._link:
            return  # a link that was replaced
        self._last_report = report
        self._needs_refresh |= report.fraction_lost > 0
        before = self._rate.plan
        plan = self._rate.on_report(report, self._clock.now_us() / 1000)
        if plan != before:
            logger.info(
                "sending %s%s%s from now on (loss %.0f %%, round trip %s ms)",
                plan.preset.name,
                " with redundancy" if plan.redundancy else "",
                "" if plan.with_lips else " without the lips layer",
                100 * report.fraction_lost,
                "?" if report.round_trip_ms is None else round(report.round_trip_ms),
            )

    def _left(self, reason: str) -> None:
        """The far end said bye: what it would hear is not sent any more."""
        self._peer_left = reason
        if self._task is not None:
            self._task.cancel()
        self._ended.set()

    async def _release(self) -> None:
        """Close source, style and encoder, off the loop: devices may take a moment."""
        loop = asyncio.get_running_loop()
        if self._source.is_live:
            self._source.close()  # wakes a read that waits in the worker
        # The worker may still decode or encode; what it uses is freed only after it.
        await loop.run_in_executor(None, self._executor.shutdown)
        await loop.run_in_executor(None, self._source.close)
        await loop.run_in_executor(None, self._style.stop)
        if self._encoder is not None:
            self._encoder.close()
