"""One end of a call from start to finish: meets the far end, runs the sessions, writes what it counted.

    prepare (model, files, devices) -> wait for the far end -> sessions over the first link
        -> each new link after a loss -> somebody hangs up, the file ends or Ctrl-C -> finish the files

`CallSide` knows only why a call ends; how it stays up is `rtc.call`'s business.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from protocol.errors import ProtocolError
from protocol.interfaces import Clock, EndCause
from protocol.messages import Hello
from protocol.presets import get_preset
from protocol.signalling.client import SignallingClient
from receiver.errors import ReceiverError
from receiver.identity_store import IdentityStore
from receiver.session import ReceivingSession
from sender.errors import PeerSilentError, SenderError
from sender.outgoing import Outgoing, SendingOptions
from sender.session import SendingSession
from talkface.call_parts import (
    default_face,
    identity_cache_folder,
    idle_values,
    load_model,
    make_sinks,
    make_source,
)
from talkface.clock import MonotonicClock, SkewedClock
from talkface.errors import UserError
from talkface.machine import usable_cores
from talkface.options import SideOptions, SourceOptions
from talkface.progress import ConsoleProgress, JsonProgress, Progress
from talkface.report.build import build_report
from talkface.report.show import show_report, typed_command
from talkface.rough_network.control import DetourControl, DetouredSignalling
from talkface.rtc.call import CallState, RtcCall, Signalling
from talkface.rtc.link import LinkError, LinkState, RtcLink
from talkface.rtc.no_link import NoLink
from talkface.rtc.options import LinkOptions, parse_ice_servers
from talkface.rtc.wire_meter import WireMeter
from talkface.side_record import SentLog, SideRecord
from talkface.side_sampler import SideSampler
from talkface_core.errors import CoreError
from talkface_core.face.model import TalkfaceModel

HELLO_LIMIT_S = 30.0
GIVE_UP_S = 120.0
"""A path that is lost for longer than this ends the call."""
PARTING_S = 5.0
"""After our bye: time for it to arrive on a bad path, and for the far end to leave."""
_EXPECTED_ERRORS = (SenderError, ReceiverError, CoreError, ProtocolError, LinkError)


def run_side(options: SideOptions) -> None:
    """Run one end until the call is over; write its report and record.

    Raises:
        UserError: the call could not be made or could not go on.
    """
    if options.events:
        record = asyncio.run(CallSide(options, JsonProgress()).run())
    else:
        with ConsoleProgress() as progress:
            record = asyncio.run(CallSide(options, progress).run())
    if options.record is not None:
        record.write(options.record)
    else:
        report = build_report(record, record, command=typed_command())
        show_report(report, options.report, recording=options.sink.output)


class CallSide:
    """Runs once."""

    def __init__(self, options: SideOptions, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._clock: Clock = MonotonicClock()
        self._meter = WireMeter(self._clock)
        self._record = SideRecord(role=options.role.value, weights=options.model.weights)
        self._sampler = SideSampler(self._meter, self._clock, progress)
        self._links: asyncio.Queue[RtcLink] = asyncio.Queue()
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: SendingSession | None = None
        self._receiving: ReceivingSession | None = None
        self._model: TalkfaceModel | None = None
        self._source: Outgoing | None = None
        self._send_clock: Clock = self._clock
        self._reason = ""
        self._ended_by_far_end = False
        self._is_interrupted = False
        self._sent = SentLog()

    async def run(self) -> SideRecord:
        """The whole call.

        Raises:
            UserError: it could not be made or could not go on.
        """
        self._listen_for_the_end()
        try:
            try:
                call = await self._unless_stopped(self._prepare())
                call_task = asyncio.create_task(call.run())
                try:
                    await self._run_call(call_task)
                finally:
                    await self._cancel_tasks()
                    await self._finish(call, call_task)
            finally:
                await self._cancel_tasks()
            if self._error is not None:
                raise self._error
        except _EXPECTED_ERRORS as error:
            raise UserError(str(error)) from error
        if not self._record.start_us:
            raise UserError("stopped before the far end was reached")
        return self._record

    async def _unless_stopped(self, work: Coroutine[Any, Any, RtcCall]) -> RtcCall:
        """The result of `work`, which Ctrl-C breaks off."""
        task, over = asyncio.create_task(work), asyncio.create_task(self._over.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        if self._receiving is not None:
            await self._receiving.stop()
        raise UserError("stopped before the far end was reached")

    # --- before ---

    async def _prepare(self) -> RtcCall:
        """Everything that can be done, and can go wrong, before the far end is met."""
        options = self._options
        self._progress.state("loading", weights=options.model.weights)
        # Two ends on two cores: torch's threads would wait for each other, and a frame takes three times as long.
        torch.set_num_threads(max(1, usable_cores() // 2))
        model = await asyncio.to_thread(load_model, options.model.weights)
        self._model = model
        self._source = await self._make_source(options.source)
        if options.source is not None and self._source is not None:
            self._record.preset, self._record.style = options.source.preset, self._source.style.name
        if options.role.receives:
            self._receiving = await self._start_receiving(model)
        gc.collect()
        gc.freeze()  # what is loaded now stays: collections during the call need not look at it
        self._progress.state("waiting", room=options.meeting.room)
        return RtcCall(await self._signalling(), self._make_link, self._links.put_nowait, self._clock, self._call_state)

    async def _make_source(self, wanted: SourceOptions | None) -> Outgoing | None:
        """Sound, style and identity, for an end that sends."""
        if wanted is None or self._model is None:
            return None
        if wanted.clock_ppm:
            self._send_clock = SkewedClock(self._clock, wanted.clock_ppm)
        weights = self._options.model.weights
        return await asyncio.to_thread(make_source, wanted, weights, self._model, self._send_clock, self._note)

    async def _start_receiving(self, model: TalkfaceModel) -> ReceivingSession:
        """Open the sinks and warm up the renderer: a frame of a running call must not wait for that."""
        options = self._options
        session = ReceivingSession(
            NoLink(),
            self._clock,
            model,
            make_sinks(options.sink, lambda: self._stop("the window was closed")),
            default_identity=default_face(model),
            identity_store=IdentityStore(options.cache_folder or identity_cache_folder()),
            idle_track=idle_values(options.model.weights),
            runtime=options.model.runtime.value,
            on_note=self._note,
        )
        await session.start()
        self._spawn(self._watch_receiving(session))
        return session

    async def _signalling(self) -> Signalling:
        meeting = self._options.meeting
        tls: ssl.SSLContext | None = None
        if meeting.ca_file is not None:
            try:
                tls = ssl.create_default_context(cafile=str(meeting.ca_file))
            except ssl.SSLError as error:
                raise UserError(f"--ca-file {meeting.ca_file} is not a certificate in PEM: {error.reason}") from error
        try:
            client = SignallingClient(meeting.signal_url, room=meeting.room, secret=meeting.secret, tls=tls)
        except ValueError as error:
            raise UserError(str(error)) from error
        if self._options.detour is None:
            return client
        try:
            return DetouredSignalling(client, await DetourControl.connect(*self._options.detour))
        except OSError as error:
            raise UserError(f"the rough network does not answer: {error}") from error

    def _make_link(self) -> RtcLink:
        assert self._model is not None
        meeting = self._options.meeting
        options = LinkOptions(
            ice_servers=parse_ice_servers(" ".join(meeting.ice_servers)), relay_only=meeting.relay_only
        )
        return RtcLink(
            options.for_preset(get_preset(self._options.preset)),
            meter=self._meter,
            clock=self._clock,
            hello=Hello.of(self._model.info, agent="talkface"),
        )

    # --- the call ---

    async def _run_call(self, call_task: asyncio.Task[None]) -> None:
        self._meter.on_rtp_sent = self._sent.add
        self._spawn(self._watch_call(call_task))
        self._spawn(self._limit_waiting())
        self._spawn(self._follow_links())
        await self._over.wait()

    async def _follow_links(self) -> None:
        """The first link starts the sessions, later ones replace it under them."""
        link = await self._links.get()
        self._record.start_us = self._clock.now_us()
        self._spawn(self._sampler.run())
        if self._receiving is not None:
            await self._receiving.replace_link(link)
        while self._source is not None and self._sending is None:
            try:
                self._sending = await self._start_sending(link, self._source)
            except PeerSilentError:
                if link.state is not LinkState.CLOSED:
                    raise
                link = await self._next_link()  # the path was lost while greeting
                self._source = await self._make_source(self._options.source)
        self._progress.state("connected")
        while True:
            link = await self._next_link()
            if self._sending is not None:
                await self._sending.replace_link(link)

    async def _next_link(self) -> RtcLink:
        link = await self._links.get()
        if self._receiving is not None:
            await self._receiving.replace_link(link)
        return link

    async def _start_sending(self, link: RtcLink, source: Outgoing) -> SendingSession:
        wanted = self._options.source
        assert wanted is not None
        assert self._model is not None
        session = SendingSession(
            link,
            self._send_clock,
            self._model,
            source,
            SendingOptions(
                preset=get_preset(wanted.preset),
                adaptive=wanted.adaptive,
                hello_timeout_s=HELLO_LIMIT_S,
                duration_s=wanted.duration_s,
            ),
        )
        await session.start()
        self._spawn(self._watch_sending(session))
        return session

    # --- why it ends ---

    async def _watch_sending(self, session: SendingSession) -> None:
        end = await session.wait_ended()
        for note in session.notes:
            self._note(note)
        if end.cause is not EndCause.PEER_LEFT:
            self._stop("everything is sent")
        elif self._receiving is None:
            self._stop("the far end has hung up", by_far_end=True)

    async def _watch_receiving(self, session: ReceivingSession) -> None:
        end = await session.wait_ended()
        if end.cause is EndCause.PEER_LEFT:
            self._stop("the far end has hung up", by_far_end=True)

    async def _watch_call(self, call_task: asyncio.Task[None]) -> None:
        await asyncio.wait({call_task})
        if call_task.cancelled():
            return
        error = call_task.exception()
        if error is not None:
            raise error
        if self._receiving is not None and not self._over.is_set():
            with suppress(TimeoutError):  # its bye may still be on its way to the speaker
                await asyncio.wait_for(self._receiving.wait_ended(), PARTING_S / 2)
        self._stop("the far end has left", by_far_end=True)

    async def _limit_waiting(self) -> None:
        """Nobody came, or the path does not come back."""
        await asyncio.sleep(self._options.meeting.wait_s)
        if self._record.start_us == 0:
            raise UserError(
                f"nobody could be reached in room {self._options.meeting.room!r} "
                f"within {self._options.meeting.wait_s:.0f} s",
                "check that the other end uses the same server, room and secret",
            )
        interrupted_s = 0.0
        while True:
            await asyncio.sleep(1.0)
            interrupted_s = interrupted_s + 1.0 if self._is_interrupted else 0.0
            if interrupted_s > GIVE_UP_S:
                raise UserError(f"the path to the far end was lost for {GIVE_UP_S:.0f} s")

    def _call_state(self, state: CallState) -> None:
        self._is_interrupted = state is CallState.INTERRUPTED
        names = {CallState.CONNECTING: "connecting", CallState.INTERRUPTED: "reconnecting"}
        if state is CallState.CONNECTED and self._record.start_us:
            self._progress.state("connected")
        elif state in names:
            self._progress.state(names[state])

    def _listen_for_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # event loops on Windows
                loop.add_signal_handler(number, self._stop, "stopped")
        if self._options.events:
            self._spawn(self._watch_stdin())

    async def _watch_stdin(self) -> None:
        """The process that started us is gone when our standard input closes."""
        reader = asyncio.StreamReader()
        with suppress(ValueError, OSError):
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            await reader.read()
            self._stop("the parent process has ended")

    def _stop(self, reason: str, *, by_far_end: bool = False) -> None:
        if not self._over.is_set():
            self._reason, self._ended_by_far_end = reason, by_far_end
            self._over.set()

    # --- after ---

    async def _finish(self, call: RtcCall, call_task: asyncio.Task[None]) -> None:
        """Say bye, finish the files, note what was counted. Also after an error."""
        self._progress.state("finishing")
        self._meter.stop()
        if call.link is not None and not self._ended_by_far_end:
            await call.link.say_bye(self._reason)
        record = self._record
        if self._sending is not None:
            stats = self._sending.stats()
            record.sending = asdict(stats)
            if stats.pictures is not None and stats.pictures.failure is not None:
                self._note(f"live style: {stats.pictures.failure}; the far end's face moved by the sound alone")
            await self._sending.stop()
        if self._receiving is not None:
            await self._receiving.stop()
            received = self._receiving.stats()
            record.receiving, record.runtime = asdict(received), received.runtime
            record.ready = [(timestamp, ready_us) for _, timestamp, ready_us in self._receiving.pcm_ready()]
        if record.start_us and self._error is None and not self._ended_by_far_end:
            await asyncio.wait({call_task}, timeout=PARTING_S)
        call_task.cancel()
        await asyncio.wait({call_task})
        if not call_task.cancelled():
            call_task.exception()
        record.wire = self._meter.snapshot()
        record.sent = self._sent.rows()
        record.memory, record.wire_up = self._sampler.memory, self._sampler.wire_up
        record.reconnects = call.reconnects

    def _note(self, text: str) -> None:
        if text not in self._record.notes:
            self._record.notes.append(text)
            self._progress.note(text)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the call; an error ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._stop("an error")

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
