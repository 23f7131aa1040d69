"""A bad network on purpose: a UDP relay that loses, delays and reorders what passes, from a seed.

    peer A  <──>  stand-in for B │ relay │ stand-in for A  <──>  peer B

The call is led through it by writing the stand-ins' addresses into the session descriptions (`relay_control`). The
datagrams themselves pass unchanged; peers see the relay's addresses as each other's. Run as a process of its own:

    python -m talkface.rough_network.relay --loss 0.1 --delay-ms 300 --jitter-ms 40

It prints one line of JSON, {"control": [HOST, PORT]}, and serves until its standard input closes or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import fields
from typing import Any

from talkface.rough_network.impairment import Impairment, RelaySettings
from talkface.rough_network.route import SIDES, Address, Route

MAX_ROUTES = 64
"""A call opens one per connection; the oldest is closed beyond that."""


class Relay:
    """All routes of one call, through one bad network: a new route does not restart losses or the blackout.

    Args:
        to_answerer: what happens to datagrams from the offerer to the answerer.
        to_offerer: the other direction.
        seed: same seed, same fate.
        host: address of the stand-ins.
    """

    def __init__(
        self, to_answerer: RelaySettings, to_offerer: RelaySettings, *, seed: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self._impairments = {
            "answerer": Impairment(to_answerer, 2 * seed),
            "offerer": Impairment(to_offerer, 2 * seed + 1),
        }
        self._host = host
        self._routes: dict[int, Route] = {}
        self._opened = 0
        self._control: asyncio.Server | None = None

    async def start(self) -> Address:
        """Serve the control connection.

        Returns:
            Its address, for `relay_control.RelayControl`.
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m talkface.rough_network.relay",
        description="Relay a call over UDP and treat it badly. Every value may be a pair ANSWERER,OFFERER: what "
        "happens to datagrams for the answerer and for the offerer.",
    )
    help_texts = {
        "loss": "share of datagrams lost, 0..1",
        "burst_ms": "losses come in stretches of this length; --loss is their share of the time",
        "delay_ms": "delay each way",
        "jitter_ms": "standard deviation of further delay",
        "reorder": "share of datagrams that leave behind their successor",
        "duplicate": "share of datagrams that come twice",
        "rate_kbps": "capacity each way; 0 is none",
        "blackout_at_s": "start of a stretch in which nothing passes",
        "blackout_s": "its length; 0 is never",
        "loss_until_s": "losses stop this long after the first datagram; 0 is never",
    }
    for field in fields(RelaySettings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", default="0", help=help_texts[field.name])
    parser.add_argument("--seed", type=int, default=0, help="same seed, same fate")
    parser.add_argument("--host", default="127.0.0.1", help="address of the sockets (127.0.0.1)")
    return parser


def settings_from_arguments(arguments: argparse.Namespace) -> tuple[RelaySettings, RelaySettings]:
    """Settings towards the answerer and towards the offerer.

    Raises:
        ValueError: a value is not a number or not a pair, or is out of range.
    """
    both: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for field in fields(RelaySettings):
        parts = str(getattr(arguments, field.name)).split(",")
        if len(parts) > 2:
            raise ValueError(f"--{field.name.replace('_', '-')} takes one value or two, got {len(parts)}")
        try:
            both[0][field.name], both[1][field.name] = float(parts[0]), float(parts[-1])
        except ValueError:
            raise ValueError(f"--{field.name.replace('_', '-')}: {','.join(parts)!r} is not a number") from None
    return RelaySettings(**both[0]), RelaySettings(**both[1])


async def _run(relay: Relay) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    reader = asyncio.StreamReader()
    with contextlib.suppress(ValueError, OSError):  # no pipe on standard input: only a signal ends the relay
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        watcher = asyncio.ensure_future(reader.read())
        watcher.add_done_callback(lambda _: stopped.set())
    print(json.dumps({"control": await relay.start()}), flush=True)
    await stopped.wait()
    await relay.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the relay; returns the exit code."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        to_answerer, to_offerer = settings_from_arguments(parsed)
        asyncio.run(_run(Relay(to_answerer, to_offerer, seed=parsed.seed, host=parsed.host)))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
