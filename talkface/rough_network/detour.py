"""A bad network on purpose: a detour over UDP that loses, delays and reorders what passes, from a seed.

    peer A  <──>  stand-in for B │ detour │ stand-in for A  <──>  peer B

The call is led through it by writing the stand-ins' addresses into the session descriptions
(`talkface/rough_network/control.py`). The datagrams themselves pass unchanged; peers see the detour's addresses as each
other's. `python -m talkface.rough_network` is a detour as a process of its own.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from talkface.options import NetworkOptions
from talkface.rough_network.impairment import Impairment
from talkface.rough_network.route import SIDES, Address, Route

MAX_ROUTES = 64
"""A call opens one per connection; the oldest is closed beyond that."""


class Detour:
    """All routes of one call, through one bad network: a new route does not restart losses or the blackout.

    Args:
        to_answerer: what happens to datagrams from the offerer to the answerer.
        to_offerer: the other direction.
        host: address of the stand-ins.
    """

    def __init__(self, to_answerer: NetworkOptions, to_offerer: NetworkOptions, *, host: str = "127.0.0.1") -> None:
        self._impairments = {
            "answerer": Impairment(to_answerer, 2 * to_answerer.seed),
            "offerer": Impairment(to_offerer, 2 * to_offerer.seed + 1),
        }
        self._host = host
        self._routes: dict[int, Route] = {}
        self._opened = 0
        self._control: asyncio.Server | None = None

    async def start(self) -> Address:
        """Serve the control connection.

        Returns:
            Its address, for `talkface.rough_network.control.DetourControl`.
        """
        self._control = await asyncio.start_server(self._serve, self._host, 0, limit=4096)
        host, port = self._control.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def open_route(self) -> int:
        """A new pair of stand-ins; returns its number."""
        route = Route(self._impairments)
        await route.open(self._host)
        self._opened += 1
        self._routes[self._opened] = route
        if len(self._routes) > MAX_ROUTES:
            self._routes.pop(next(iter(self._routes))).close()
        return self._opened

    def route(self, number: int) -> Route:
        """The route of that number.

        Raises:
            ValueError: there is none (any more).
        """
        if number not in self._routes:
            raise ValueError(f"route {number} does not exist")
        return self._routes[number]

    def stats(self) -> dict[str, int]:
        """Datagrams passed and lost per direction."""
        return {
            f"{name}_to_{side}": getattr(impairment, name)
            for side, impairment in self._impairments.items()
            for name in ("passed", "lost")
        }

    async def close(self) -> None:
        """Close everything."""
        for route in self._routes.values():
            route.close()
        self._routes.clear()
        if self._control is not None:
            self._control.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    answer = await self._answer(json.loads(line))
                except (ValueError, KeyError, TypeError, OSError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client is gone, or sent a line without end
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "open":
            number = await self.open_route()
            return {"route": number, **{side: self.route(number).stand_in(side) for side in SIDES}}
        if request["op"] == "peer":
            host, port = request["address"]
            if request["side"] not in SIDES:
                raise ValueError(f"side {request['side']!r} is neither of {SIDES}")
            self.route(int(request["route"])).set_peer(request["side"], (str(host), int(port)))
            return {}
        if request["op"] == "stats":
            return dict(self.stats())
        raise ValueError(f"op {request['op']!r} is unknown")
