"""Everything that can be done, and can go wrong, before the far end is met: model, files, devices, renderer, server."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import torch

from protocol.interfaces import Clock
from protocol.signalling.client import SignallingClient
from receiver.identity_store import IdentityStore
from receiver.session import ReceivingSession
from receiver.sinks.mp4 import Mp4Sink
from sender.outgoing import Outgoing
from talkface.cores import usable_cores
from talkface.errors import UserError
from talkface.identity.folders import identity_cache_folder
from talkface.options import SideOptions
from talkface.progress import Progress
from talkface.rough_network.control import DetourControl, DetouredSignalling
from talkface.rtc.call import Signalling
from talkface.rtc.no_link import NoLink
from talkface.side.parts import (
    default_face,
    idle_values,
    load_model,
    make_devices,
    make_recorder,
    make_source,
)
from talkface_core.face.model import TalkfaceModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSide:
    """A side that is ready to meet the other."""

    model: TalkfaceModel
    outgoing: Outgoing | None
    """None for a side that only watches."""
    receiving: ReceivingSession | None
    """Started, on a link to nobody; whoever takes it stops it. None for a side that only speaks."""
    signalling: Signalling
    recorder: Mp4Sink | None
    """The sink among those of `receiving` that writes a file, if one does."""


class SidePreparation:
    """Prepares one side; on an error, and when it is broken off, what has begun is ended."""

    def __init__(
        self,
        options: SideOptions,
        clock: Clock,
        send_clock: Clock,
        progress: Progress,
        note: Callable[[str], None],
        on_window_closed: Callable[[], None],
    ) -> None:
        """`send_clock` runs what is sent: another than `clock` in tests of clock-skew tracking."""
        self._options = options
        self._clock = clock
        self._send_clock = send_clock
        self._progress = progress
        self._note = note
        self._on_window_closed = on_window_closed

    async def run(self) -> PreparedSide:
        """Raises:
        UserError, SenderError, ReceiverError, CoreError: what was asked for cannot be done here.
        """
        options = self._options
        self._progress.state("loading", weights=options.model.weights)
        # Two sides on two cores: torch's threads would wait for each other, and a frame takes three times as long.
        torch.set_num_threads(max(1, usable_cores() // 2))
        model = await asyncio.to_thread(load_model, options.model.weights)
        outgoing = await self.outgoing(model)
        async with AsyncExitStack() as undo:
            receiving = recorder = None
            if options.role.receives:
                recorder = make_recorder(options.sink)
                receiving = await self._start_receiving(model, recorder)
                undo.push_async_callback(receiving.stop)
            gc.collect()
            gc.freeze()  # what is loaded now stays: collections during the call need not look at it
            self._progress.state("waiting", room=options.meeting.room)
            signalling = await self._signalling()
            undo.pop_all()
        return PreparedSide(
            model=model, outgoing=outgoing, receiving=receiving, signalling=signalling, recorder=recorder
        )

    async def outgoing(self, model: TalkfaceModel) -> Outgoing | None:
        """Sound, style and identity, fresh from their start; None for a side that only watches."""
        wanted = self._options.source
        if wanted is None:
            return None
        weights = self._options.model.weights
        return await asyncio.to_thread(make_source, wanted, weights, model, self._send_clock, self._note)

    async def _start_receiving(self, model: TalkfaceModel, recorder: Mp4Sink | None) -> ReceivingSession:
        """Open the sinks and warm up the renderer: a frame of a running call must not wait for that."""
        options = self._options
        session = ReceivingSession(
            NoLink(),
            self._clock,
            model,
            [*([recorder] if recorder is not None else []), *make_devices(options.sink, self._on_window_closed)],
            default_identity=default_face(model),
            identity_store=IdentityStore(options.cache_folder or identity_cache_folder()),
            idle_track=idle_values(options.model.weights),
            runtime=options.model.runtime.value,
            on_note=self._note,
        )
        await session.start()
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
            client = SignallingClient(
                meeting.signal_url,
                room=meeting.room,
                secret=meeting.secret or "",
                tls=tls,
                on_stranger=lambda: self._note(
                    f"somebody waits in room {meeting.room!r} with another secret: both ends need the same one"
                ),
            )
        except ValueError as error:
            raise UserError(str(error)) from error
        if self._options.detour is None:
            return client
        try:
            return DetouredSignalling(client, await DetourControl.connect(*self._options.detour))
        except OSError as error:
            raise UserError(f"the rough network does not answer: {error}") from error
