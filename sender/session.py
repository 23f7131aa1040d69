"""One direction of a call from the sending side: paces the source, makes packets, follows reports, survives new links.

    source ──read──> [worker thread: encode, gate, style] ──packets──> link
                                 ^ plan                     reports ──> rate control

Sound is the master: packet k leaves when its sound has ended, counted from the start by the injected clock (a file)
or by the device (a microphone). A link that breaks drops packets, not time: the next link goes on where the sound is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from protocol.interfaces import Clock, EndCause, MediaLink, SessionEnd
from protocol.messages import Hello
from protocol.presets import Preset
from sender.errors import InvalidStateError, PeerSilentError, SenderError
from sender.file_pace import FilePace
from sender.outgoing import Outgoing, SendingOptions
from sender.packet_stream import PacketStream, open_packet_stream
from sender.peer_link import PeerLink
from sender.rate_control import RateController
from sender.report_follower import ReportFollower
from sender.session_stats import SendingStats, sending_stats
from sender.style_scheduler import StyleScheduler
from talkface_core.interfaces import FaceModel

logger = logging.getLogger(__name__)


class SendingSession:
    """Sends one person's sound and style over a MediaLink. All methods belong to one event loop.

    A `protocol.interfaces.CallSession`: its end is the source's, the far end's bye, or `stop`.
    """

    def __init__(
        self,
        link: MediaLink,
        clock: Clock,
        model: FaceModel,
        outgoing: Outgoing,
        options: SendingOptions | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        open_stream: Callable[[Preset, StyleScheduler | None], PacketStream] = open_packet_stream,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            link: connected or connecting; `replace_link` puts another in its place.
            outgoing: opened by `start`, closed by `stop`.
            sleep: how to wait; tests move a fake clock.
            open_stream: makes the encoder and what turns its sound into packets.
        """
        self._model = model
        self._outgoing = outgoing
        self._options = options or SendingOptions()
        self._open_stream = open_stream
        self._pace = FilePace(clock, sleep)
        preset, adaptive = self._options.preset, self._options.adaptive
        self._follower = ReportFollower(RateController(preset, adaptive=adaptive), clock)
        hello = Hello.of(model.info)
        on_report = self._follower.on_report
        self._peer = PeerLink(
            link, hello, outgoing.identity, outgoing.owner_key, on_report=on_report, on_bye=self._left
        )
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sender")
        self._stream: PacketStream | None = None
        self._task: asyncio.Task[None] | None = None
        """Opening, then sending."""
        self._ended = asyncio.Event()
        self._end: SessionEnd | Exception | None = None
        self._closing = asyncio.Lock()

    # --- life ---

    async def start(self) -> None:
        """Open the source, wait for a hello, begin to send. Once only; on an error everything is closed again.

        Raises:
            SourceError: the source gives no sound, or live style no picture.
            PeerVersionError, PeerSilentError: there is nobody to talk to.
            InvalidStateError: it was started before, or stopped meanwhile.
        """
        if self._task is not None or self._end is not None:
            raise InvalidStateError("sending session: started twice, or after its end")
        self._task = asyncio.create_task(self._open())
        try:
            await self._task
        except BaseException as error:
            if self._end == SessionEnd(EndCause.STOPPED):  # `stop` closes
                raise InvalidStateError("sending session: stopped while it started") from error
            self._end_with(error if isinstance(error, Exception) else SessionEnd(EndCause.STOPPED))
            await self._close()
            raise
        if self._end is None and self._stream is not None:
            self._task = asyncio.create_task(self._run(self._stream))

    async def wait_ended(self) -> SessionEnd:
        """Until everything is sent, the far end has left, or `stop` was called.

        Raises:
            SenderError: the source failed on the way, or whatever `start` raised.
        """
        await self._ended.wait()
        assert self._end is not None
        if isinstance(self._end, Exception):
            raise self._end
        return self._end

    async def stop(self) -> None:
        """End the worker, close the source. Safe to call twice, from any state and after a failed start."""
        self._end_with(SessionEnd(EndCause.STOPPED))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    async def replace_link(self, link: MediaLink) -> None:
        """Go on over another link: timestamps run on, the identity's hash is offered again.

        A far end that does not greet in time is no error here: sound flows, and the next link tries again.

        Raises:
            PeerVersionError: the far end came back as another version.
        """
        if self._end is not None:
            return
        self._peer.replace(link)
        self._follower.on_new_link()
        if self._task is None:
            return  # `start` will greet
        try:
            await self._greet()
        except PeerSilentError as error:
            logger.warning("%s", error)

    # --- what others ask ---

    @property
    def notes(self) -> list[str]:
        """Sentences for the user: what does not fit the far end."""
        return self._peer.notes

    def stats(self) -> SendingStats:
        """Counters for reports and logs, in any state."""
        return sending_stats(self._stream, self._outgoing.style, self._follower, self._peer, self._pace.num_slips)

    # --- inside ---

    async def _open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._worker, self._outgoing.open)
        reads_style = await self._greet()
        preset = self._options.preset
        scheduler = None
        if reads_style and self._outgoing.style.name != "none":
            scheduler = StyleScheduler(self._model.payload_encoder(), preset)
        self._stream = self._open_stream(preset, scheduler)

    async def _greet(self) -> bool:
        """Meet the far end on the link in use; False when it has said that it cannot read our style."""
        if not self._options.expects_hello:
            self._peer.listen()
            return True
        theirs = await self._peer.greet(self._options.hello_timeout_s)
        return theirs.style_table_id == self._model.info.style_table_id

    async def _run(self, stream: PacketStream) -> None:
        """The sending loop; ends with the source."""
        loop, source = asyncio.get_running_loop(), self._outgoing
        self._pace.start()
        try:
            while stream.ticks < self._options.limit_ticks:
                self._follower.apply(stream)
                pcm = await loop.run_in_executor(self._worker, source.audio.read, stream.samples_per_packet)
                if pcm is None:
                    break
                end_ticks = stream.ticks + stream.packet_ticks
                if not source.audio.is_live:
                    await self._pace.wait_for(end_ticks)
                if source.media_time is not None:
                    source.media_time.mark(end_ticks)
                values = source.style.values_at(end_ticks)
                duration_ticks = stream.packet_ticks
                packets = await loop.run_in_executor(self._worker, stream.process, pcm, values)
                for packet in packets:
                    self._peer.send(packet)
                num_bytes = sum(len(packet.payload) for packet in packets)
                self._peer.behind_sound.note_sound(stream.preset, duration_ticks, num_bytes)
            self._end_with(SessionEnd(EndCause.FINISHED))
        except SenderError as error:
            self._end_with(error)
        except Exception as error:
            logger.exception("sending stopped")
            self._end_with(SenderError(f"sending stopped: {type(error).__name__}: {error}"))

    def _left(self, reason: str) -> None:
        """The far end said bye: what it would hear is not sent any more."""
        self._end_with(SessionEnd(EndCause.PEER_LEFT, reason))
        if self._stream is not None and self._task is not None:
            self._task.cancel()

    def _end_with(self, end: SessionEnd | Exception) -> None:
        """The first reason counts."""
        if self._end is None:
            self._end = end
            self._ended.set()

    async def _close(self) -> None:
        """Close source, style and encoder, off the loop: devices may take a moment."""
        self._peer.close()
        self._outgoing.wake()
        async with self._closing:
            # The worker may still decode or encode; what it uses is freed only after it.
            await asyncio.to_thread(self._worker.shutdown)
            await asyncio.to_thread(self._outgoing.close)
            if self._stream is not None:
                self._stream.encoder.close()
