"""One side of a call from start to finish: meets the far end, runs the sessions, writes what it counted.

    prepare (model, files, devices) -> wait for the far end -> sessions over the first link
        -> each new link after a loss -> somebody hangs up, the file ends or Ctrl-C -> finish the files

`CallSide` runs the sessions over the links that come. What it is made of is in `talkface/side/`; how a call stays up is
`rtc.call`'s business.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial

from protocol.errors import ProtocolError
from protocol.identity.proof import connection_words
from protocol.interfaces import CallSession, Clock, EndCause
from protocol.messages import Hello
from protocol.presets import get_preset
from receiver.errors import ReceiverError
from sender.errors import PeerSilentError, SenderError
from sender.outgoing import Outgoing, SendingOptions
from sender.session import SendingSession
from sender.session_stats import SendingStats
from talkface.clock import MonotonicClock, SkewedClock
from talkface.errors import UserError
from talkface.options import SideOptions, SourceOptions
from talkface.progress import ConsoleProgress, JsonProgress, Progress
from talkface.report.build import build_report
from talkface.report.show import show_report, typed_command
from talkface.room_secret import weakness, with_secret
from talkface.rtc.call import CallState, RtcCall
from talkface.rtc.link import LinkError, LinkState, RtcLink
from talkface.rtc.options import LinkOptions, parse_ice_servers
from talkface.side.ending import CallEnding
from talkface.side.observer import SideObserver
from talkface.side.preparation import PreparedSide, SidePreparation
from talkface.side.record import SideRecord
from talkface.terminal import say
from talkface_core.errors import CoreError

HELLO_LIMIT_S = 30.0
GIVE_UP_S = 120.0
"""A path that is lost for longer than this ends the call."""
PARTING_S = 5.0
"""After our bye: time for it to arrive on a bad path, and for the far end to leave."""
_EXPECTED_ERRORS = (SenderError, ReceiverError, CoreError, ProtocolError, LinkError)


class CallBrokenError(UserError):
    """A call ended with an error after it had begun. Raised by `CallSide.run`; repeating the call may help.

    Args:
        record: what was counted until then.
    """

    def __init__(self, record: SideRecord) -> None:
        super().__init__(record.problem)
        self.record = record


def run_side(options: SideOptions) -> None:
    """Run one side until the call is over; show its report, or write its record for the process that asked for it.

    Raises:
        UserError: the call could not be made, ended with an error, or left less than was asked for.
    """
    try:
        record = _run(options)
    except CallBrokenError as error:
        record = error.record
    if options.record is None:
        report = build_report(record, record, command=typed_command())
        show_report(report, options.report, recording=record.recording, problem=record.problem)
        return
    record.write(options.record)
    if record.problem:
        raise UserError(record.problem)


def _run(options: SideOptions) -> SideRecord:
    options, invitation = with_secret(options)
    if options.events:
        return asyncio.run(CallSide(options, JsonProgress()).run())
    if invitation is not None:
        say(f"Send this line to the other person, by a way that you trust:\n\n    {invitation}\n")
    with ConsoleProgress() as progress:
        return asyncio.run(CallSide(options, progress).run())


class CallSide:
    """Runs once."""

    def __init__(self, options: SideOptions, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._clock: Clock = MonotonicClock()
        ppm = options.source.clock_ppm if options.source is not None else 0.0
        self._send_clock: Clock = SkewedClock(self._clock, ppm) if ppm else self._clock
        self._observer = SideObserver(options, self._clock, progress)
        self._ending = CallEnding()
        self._links: asyncio.Queue[RtcLink] = asyncio.Queue()
        self._sending: SendingSession | None = None
        self._is_interrupted = False

    async def run(self) -> SideRecord:
        """The whole call.

        Raises:
            UserError: it could not be made.
            CallBrokenError: it could not go on.
        """
        self._ending.listen(to_parent=self._options.events)
        if (weak := weakness(self._options.meeting.secret or "")) is not None:
            self._observer.note(weak)
        preparation = SidePreparation(
            self._options,
            self._clock,
            self._send_clock,
            self._progress,
            note=self._observer.note,
            on_window_closed=lambda: self._ending.stop("the window was closed"),
        )
        try:
            try:
                prepared = await self._ending.wait_for(preparation.run())
                record = await self._call(preparation, prepared) if prepared is not None else None
            finally:
                await self._ending.cancel_tasks()
            if record is not None and record.failure:
                raise CallBrokenError(record) from self._ending.error
            if self._ending.error is not None:
                raise self._ending.error
        except _EXPECTED_ERRORS as error:
            raise UserError(str(error)) from error
        if record is None or not record.start_us:
            raise UserError("stopped before the far end was reached")
        return record

    # --- the call ---

    async def _call(self, preparation: SidePreparation, prepared: PreparedSide) -> SideRecord:
        """From the server to the last file."""
        hello = Hello.of(prepared.model.info, agent="talkface")
        make_link = partial(self._make_link, hello)
        call = RtcCall(prepared.signalling, make_link, self._links.put_nowait, self._clock, self._show_state)
        call_task = asyncio.create_task(call.run())
        try:
            self._ending.spawn(self._watch_call(call_task, prepared))
            self._ending.spawn(self._limit_waiting())
            self._ending.spawn(self._limit_interruption())
            self._ending.spawn(self._follow_links(preparation, prepared))
            if prepared.receiving is not None:
                self._ending.spawn(self._watch(prepared.receiving))
            await self._ending.wait()
        finally:
            await self._ending.cancel_tasks()
            record = await self._finish(prepared, call, call_task)
        return record

    def _make_link(self, hello: Hello) -> RtcLink:
        meeting = self._options.meeting
        options = LinkOptions(
            ice_servers=parse_ice_servers(" ".join(meeting.ice_servers)), relay_only=meeting.relay_only
        )
        preset = get_preset(self._options.preset)
        return RtcLink(options.for_preset(preset), meter=self._observer.meter, clock=self._clock, hello=hello)

    async def _follow_links(self, preparation: SidePreparation, prepared: PreparedSide) -> None:
        """The first link starts the sessions, later ones replace it under them."""
        link = await self._links.get()
        self._observer.begin()
        self._ending.spawn(self._observer.sampler.run())
        if prepared.receiving is not None:
            await prepared.receiving.replace_link(link)
        outgoing, wanted = prepared.outgoing, self._options.source
        while outgoing is not None and wanted is not None and self._sending is None:
            try:
                self._sending = await self._start_sending(link, prepared, outgoing, wanted)
            except PeerSilentError:
                if link.state is not LinkState.CLOSED:
                    raise
                link = await self._next_link(prepared)  # the path was lost while greeting
                outgoing = await preparation.outgoing(prepared.model)
        # For who wants to know that nobody stands between: the words are the same at both ends.
        self._progress.state("connected", words=None if link.binding is None else connection_words(link.binding))
        while True:
            link = await self._next_link(prepared)
            if self._sending is not None:
                await self._sending.replace_link(link)

    async def _next_link(self, prepared: PreparedSide) -> RtcLink:
        link = await self._links.get()
        if prepared.receiving is not None:
            await prepared.receiving.replace_link(link)
        return link

    async def _start_sending(
        self, link: RtcLink, prepared: PreparedSide, outgoing: Outgoing, wanted: SourceOptions
    ) -> SendingSession:
        options = SendingOptions(
            preset=get_preset(wanted.preset),
            adaptive=wanted.adaptive,
            hello_timeout_s=HELLO_LIMIT_S,
            duration_s=wanted.duration_s,
        )
        session = SendingSession(link, self._send_clock, prepared.model, outgoing, options)
        await session.start()
        self._ending.spawn(self._watch(session, is_heard=prepared.receiving is not None))
        return session

    def _show_state(self, state: CallState) -> None:
        self._is_interrupted = state is CallState.INTERRUPTED
        names = {CallState.CONNECTING: "connecting", CallState.INTERRUPTED: "reconnecting"}
        if state is CallState.CONNECTED and self._observer.start_us:
            self._progress.state("connected")
        elif state in names:
            self._progress.state(names[state])

    # --- why it ends ---

    async def _watch(self, session: CallSession, *, is_heard: bool = False) -> None:
        """A session's end is the call's, and so is its error; but what the far end said before its bye is heard out.

        Args:
            is_heard: another session of this side receives, and ends when that has been played.
        """
        end = await session.wait_ended()
        if end.cause is EndCause.FINISHED:
            self._ending.stop("everything is sent")
        elif end.cause is EndCause.PEER_LEFT and not is_heard:
            self._ending.stop("the far end has hung up", by_peer=True)

    async def _watch_call(self, call_task: asyncio.Task[None], prepared: PreparedSide) -> None:
        await asyncio.wait({call_task})
        if call_task.cancelled():
            return
        error = call_task.exception()
        if error is not None:
            raise error
        if prepared.receiving is not None and not self._ending.is_over:
            with suppress(TimeoutError):  # its bye may still be on its way to the speaker
                await asyncio.wait_for(prepared.receiving.wait_ended(), PARTING_S / 2)
        self._ending.stop("the far end has left", by_peer=True)

    async def _limit_waiting(self) -> None:
        """Nobody came."""
        meeting = self._options.meeting
        await asyncio.sleep(meeting.wait_s)
        if self._observer.start_us == 0:
            raise UserError(
                f"nobody could be reached in room {meeting.room!r} within {meeting.wait_s:.0f} s",
                "check that the other end uses the same server, room and secret",
            )

    async def _limit_interruption(self) -> None:
        """The path does not come back."""
        interrupted_s = 0.0
        while True:
            await asyncio.sleep(1.0)
            interrupted_s = interrupted_s + 1.0 if self._is_interrupted else 0.0
            if interrupted_s > GIVE_UP_S:
                raise UserError(f"the path to the far end was lost for {GIVE_UP_S:.0f} s")

    # --- after ---

    async def _finish(
        self, prepared: PreparedSide, call: RtcCall[RtcLink], call_task: asyncio.Task[None]
    ) -> SideRecord:
        """Say bye, finish the files, note what was counted. Also after an error."""
        ending, observer = self._ending, self._observer
        self._progress.state("finishing")
        observer.meter.stop()
        sent = self._note_sending(self._sending) if self._sending is not None else None
        async with AsyncExitStack() as stack:  # what fails here does not keep the rest from being finished
            for session in (prepared.receiving, self._sending):
                if session is not None:
                    stack.push_async_callback(session.stop)
            if call.link is not None and not ending.is_by_peer:
                await call.link.say_bye(ending.reason)
        if observer.start_us and ending.error is None and not ending.is_by_peer:
            await asyncio.wait({call_task}, timeout=PARTING_S)
        call_task.cancel()
        await asyncio.wait({call_task})
        if not call_task.cancelled():
            call_task.exception()
        style = prepared.outgoing.style.name if prepared.outgoing is not None else ""
        error = ending.error
        return observer.record(
            sent,
            prepared.receiving,
            style=style,
            reconnects=call.reconnects,
            recording=prepared.recorder.recording if prepared.recorder is not None else None,
            failure=str(error) if observer.start_us and isinstance(error, (UserError, *_EXPECTED_ERRORS)) else "",
        )

    def _note_sending(self, session: SendingSession) -> SendingStats:
        """What did not fit or failed, for the user; and what was counted until now."""
        stats = session.stats()
        for note in session.notes:
            self._observer.note(note)
        if stats.pictures is not None and stats.pictures.failure is not None:
            self._observer.note(f"live style: {stats.pictures.failure}; the far end's face moved by the sound alone")
        return stats
