"""Leads a call through a detour: its control connection, and signalling with other addresses."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from protocol.signalling.messages import Description, DescriptionKind, PeerJoined, PeerLeft
from talkface.rtc.call import Signalling
from talkface.rtc.sdp import first_candidate, route_through

_SIDE = {"offer": "offerer", "answer": "answerer"}


class DetourControl:
    """Client of a detour's control connection; for one task at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._lock = asyncio.Lock()

    @classmethod
    async def connect(cls, host: str, port: int) -> DetourControl:
        """Connect to a running detour.

        Raises:
            OSError: nothing listens there.
        """
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            ConnectionError: the detour is gone or refused; the message says why.
        """
        async with self._lock:
            self._writer.write(json.dumps(request).encode() + b"\n")
            line = await self._reader.readline()
        if not line:
            raise ConnectionError("the detour has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConnectionError(f"detour: {answer['error']}")
        return answer

    async def stats(self) -> dict[str, int]:
        """Datagrams passed and lost so far, per direction."""
        return await self.ask(op="stats")

    def close(self) -> None:
        """Close the control connection; the detour runs on."""
        self._writer.close()


class DetouredSignalling:
    """Signalling of one side that makes both talk to the detour: only one of the two needs it.

    Each offer gets a route of its own, so that a new connection does not cut off the one in use.
    """

    def __init__(self, inner: Signalling, control: DetourControl) -> None:
        self._inner, self._control = inner, control
        self._route: dict[str, Any] = {}

    async def connect(self) -> None:
        """As the inner one."""
        await self._inner.connect()

    async def next_event(self) -> PeerJoined | PeerLeft | Description:
        """As the inner one; a description names the detour instead of the peer."""
        event = await self._inner.next_event()
        if isinstance(event, Description):
            return replace(event, sdp=await self._routed(event.kind, event.sdp))
        return event

    async def send_description(self, generation: int, kind: DescriptionKind, sdp: str) -> None:
        """As the inner one; the description names the detour instead of us."""
        await self._inner.send_description(generation, kind, await self._routed(kind, sdp))

    async def close(self) -> None:
        """Close both connections."""
        await self._inner.close()
        self._control.close()

    async def _routed(self, kind: str, sdp: str) -> str:
        if kind == "offer" or not self._route:
            self._route = await self._control.ask(op="open")
        side = _SIDE[kind]
        await self._control.ask(op="peer", route=self._route["route"], side=side, address=first_candidate(sdp))
        host, port = self._route[side]
        return route_through(sdp, (host, port))
