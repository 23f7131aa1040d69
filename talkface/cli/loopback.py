"""`talkface loopback` and `talkface demo`: a whole call between two processes of this machine, and its report."""

from __future__ import annotations

from dataclasses import replace

import typer

from talkface.cli.from_options import from_options
from talkface.options import DemoOptions, LoopbackOptions


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("demo")(demo)
    app.command("loopback")(loopback)


@from_options()
def demo(wanted: DemoOptions) -> None:
    """The default face speaks a shipped recording over a real call on this machine.

    Sender and receiver are two processes that meet at a signalling server and talk WebRTC over real sockets. Only
    the sound and a few bytes of style cross between them; the receiver draws the face.
    """
    from talkface.demo import demo_call
    from talkface.loopback import run_and_show

    run_and_show(demo_call(wanted))


@from_options(
    without=("microphone", "camera"),
    last=("duration_s", "adaptive", "network", "clock_ppm"),
    own_help={"input": "Media file to send; the shipped recording when left out."},
)
def loopback(wanted: LoopbackOptions) -> None:
    """A call between two processes of this machine, over real sockets, with a report of every byte.

    With any of the network options the call is routed through a relay that behaves that badly, with a seed.
    """
    from talkface.demo import SPEECH
    from talkface.loopback import run_and_show

    source = wanted.source if wanted.source.input is not None else replace(wanted.source, input=SPEECH)
    run_and_show(replace(wanted, source=source))
