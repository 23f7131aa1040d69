"""A call between two processes of this machine over real sockets, and one report of what both saw.

    this process ── starts ──> signalling server, detour (only for a rough network), receiver, sender
                 <── events ── progress of the sides; records when they end

The sides run what `talkface send` and `talkface receive` run, with their options in files.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from talkface.child.process import ChildProcess, Event
from talkface.clock import MonotonicClock
from talkface.errors import UserError
from talkface.options import (
    DetourOptions,
    LoopbackOptions,
    MeetingOptions,
    ModelOptions,
    NetworkOptions,
    Role,
    SideOptions,
    SinkOptions,
    SourceOptions,
)
from talkface.progress import ConsoleProgress, Progress
from talkface.report.build import build_report
from talkface.report.show import show_report, typed_command
from talkface.rough_network.route import Address
from talkface.side.record import SideRecord, read_record

T = TypeVar("T")
SILENCE_LIMIT_S = 90.0
"""A child that says nothing for this long hangs; sides tick every second."""
START_LIMIT_S = 30.0
"""For the signalling server and the detour."""
FINISH_LIMIT_S = 60.0
"""From the end of one side to the end of the other."""
FINISH_GRACE_S = 20.0
"""For a side to end its call and finish its files once the other has failed."""


def run_and_show(options: LoopbackOptions) -> None:
    """Run the call, print the table, write report, page and MP4.

    Raises:
        UserError: the call could not be made, it ended with an error, or a file could not be written.
    """
    problem = ""
    with ConsoleProgress() as progress:
        try:
            call = asyncio.run(run_sides(options, progress))
        except LoopbackBrokenError as error:
            call, problem = error.call, str(error)
    report = build_report(
        sender=call.sender,
        receiver=call.receiver,
        command=typed_command(),
        network=options.network.described(),
        notes=call.notes,
    )
    show_report(report, options.report, options.html, call.receiver.recording, problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackRecords:
    """What both sides of a call on this machine counted."""

    sender: SideRecord
    receiver: SideRecord
    begun_us: int
    """When their processes were started, on the clock of the records."""
    notes: list[str]


class LoopbackBrokenError(UserError):
    """A side ended with an error, and both have counted until then. Raised by `run_sides`; repeating may help.

    Args:
        problem: the side's own last words.
        call: what was counted.
    """

    def __init__(self, problem: str, call: LoopbackRecords) -> None:
        super().__init__(problem)
        self.call = call


async def run_sides(options: LoopbackOptions, progress: Progress) -> LoopbackRecords:
    """The call itself.

    Ctrl-C ends both sides cleanly, and so does an error in the middle; the records then cover the call so far.

    Raises:
        UserError: a side failed before there was anything to count; the message is its own.
        LoopbackBrokenError: a side failed later, or could not record all.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="talkface-")))
        watcher = _Watcher(progress)
        signal_url = await _start_signalling(stack)
        meeting = MeetingOptions(signal_url=signal_url, room="loopback", secret=secrets.token_urlsafe(18))
        detour = None if options.network.is_clean else await _start_detour(stack, options.network, folder)
        sides = {
            "receive": receiving_side(options, meeting, folder),
            "send": sending_side(options, meeting, folder, detour),
        }
        children: list[ChildProcess] = []
        begun_us = MonotonicClock().now_us()
        for name, side in sides.items():
            child = await ChildProcess.start_with(name, "talkface.child.side", side, folder, watcher.handler(name))
            stack.push_async_callback(child.close)
            children.append(child)
        problem = ""
        try:
            await _run_children(children, watcher)
        except UserError as error:
            if not await _have_counted(children, folder):
                raise
            problem = str(error)
        found = {name: _read(_record_path(folder, name)) for name in sides}
    call = LoopbackRecords(sender=found["send"], receiver=found["receive"], begun_us=begun_us, notes=watcher.notes)
    if problem:
        raise LoopbackBrokenError(problem, call)
    return call


def sending_side(
    options: LoopbackOptions, meeting: MeetingOptions, folder: Path, detour: Address | None
) -> SideOptions:
    """What the side that speaks is told; it alone needs to know of a detour."""
    return SideOptions(
        role=Role.SEND,
        source=_for_a_child(options.source),
        meeting=meeting,
        model=ModelOptions(weights=options.model.weights),
        record=_record_path(folder, "send"),
        detour=detour,
        events=True,
    )


def receiving_side(options: LoopbackOptions, meeting: MeetingOptions, folder: Path) -> SideOptions:
    """What the side that watches is told; its identity cache is empty, so that the identity's bytes show."""
    return SideOptions(
        role=Role.RECEIVE,
        watching_preset=options.source.preset,
        sink=SinkOptions(output=options.output),
        meeting=meeting,
        model=options.model,
        cache_folder=folder / "identities",
        record=_record_path(folder, "receive"),
        events=True,
    )


def _for_a_child(source: SourceOptions) -> SourceOptions:
    """/dev/stdin, where a file is put there, is another file in another process."""
    return source if source.input is None else replace(source, input=source.input.resolve())


def _record_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.record.json"


async def _have_counted(children: list[ChildProcess], folder: Path) -> bool:
    """After the error of one side: let the other finish its files; True when both wrote down what they counted."""
    await asyncio.gather(*(child.close(grace_s=FINISH_GRACE_S) for child in children))
    return all(_record_path(folder, child.name).exists() for child in children)


async def _start_signalling(stack: AsyncExitStack) -> str:
    """A signalling server of our own; returns its address."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_event(event: Event) -> None:
        match = re.search(r"wss?://\S+:\d+", str(event.get("text", "")))
        if match is not None and not found.done():
            found.set_result(match.group(0))

    child = await ChildProcess.start("signal", ["signal", "--host", "127.0.0.1", "--port", "0"], on_event)
    stack.push_async_callback(child.close)
    return await _first(found, child)


async def _start_detour(stack: AsyncExitStack, network: NetworkOptions, folder: Path) -> Address:
    """The rough network, alike in both directions; returns the address of its control connection."""
    found: asyncio.Future[Address] = asyncio.get_running_loop().create_future()

    def on_event(event: Event) -> None:
        if "control" in event and not found.done():
            host, port = event["control"]
            found.set_result((host, port))

    options = DetourOptions(to_answerer=network, to_offerer=network)
    child = await ChildProcess.start_with("rough-network", "talkface.rough_network", options, folder, on_event)
    stack.push_async_callback(child.close)
    return await _first(found, child)


async def _first(found: asyncio.Future[T], child: ChildProcess) -> T:
    """What a helper process says when it is ready, or its error."""
    ended = asyncio.create_task(child.wait())
    either: set[asyncio.Future[Any]] = {found, ended}
    try:
        await asyncio.wait(either, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if found.done():
            return found.result()
        if ended.done():
            ended.result()
        raise UserError(f"the {child.name} process did not start within {START_LIMIT_S:.0f} s")
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)


class _Watcher:
    """Collects what the children say and shows it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.notes: list[str] = []

    def handler(self, name: str) -> Callable[[Event], None]:
        return lambda event: self._handle(name, event)

    def _handle(self, name: str, event: Event) -> None:
        kind = event.get("event")
        if kind == "note" and event["text"] not in self.notes:
            self.notes.append(event["text"])
            self._progress.note(event["text"])
        elif kind == "tick" and name == "send":
            self._progress.tick(event["seconds"], event["kbps"])
        elif kind == "state":
            details: dict[str, Any] = {key: value for key, value in event.items() if key not in ("event", "name")}
            self._progress.state(str(event["name"]), end=name, **details)


async def _run_children(children: list[ChildProcess], watcher: _Watcher) -> None:
    """Until both have ended. The end of one ends the other; an error of one is raised once the other is gone."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    loop.add_signal_handler(signal.SIGTERM, interrupted.set)
    waits = {asyncio.create_task(child.wait()): child for child in children}
    stop = asyncio.create_task(interrupted.wait())
    deadline_s = float("inf")
    try:
        pending = set(waits)
        while pending:
            done, _ = await asyncio.wait({*pending, stop}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            if stop in done and not watcher.notes.count("stopped by Ctrl-C"):
                watcher.notes.append("stopped by Ctrl-C")
                for child in children:
                    child.interrupt()
            pending -= done
            for task in done & set(waits):
                task.result()  # an error of a child ends the call here
                deadline_s = min(deadline_s, loop.time() + FINISH_LIMIT_S)
            if stop.done():
                deadline_s = min(deadline_s, loop.time() + FINISH_LIMIT_S)
                await asyncio.wait(pending, timeout=1.0) if pending else None
            for task in pending:
                child = waits[task]
                if loop.time() > deadline_s:
                    raise UserError(f"{child.name} did not end within {FINISH_LIMIT_S:.0f} s of the other end")
                if loop.time() - child.last_sign_of_life_s > SILENCE_LIMIT_S:
                    raise UserError(f"{child.name} has said nothing for {SILENCE_LIMIT_S:.0f} s and was ended")
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
        for task in [*waits, stop]:
            task.cancel()
        await asyncio.gather(*waits, stop, return_exceptions=True)


def _read(path: Path) -> SideRecord:
    try:
        return read_record(path)
    except ValueError as error:
        raise UserError(str(error), "the end stopped before it could write what it counted") from error
