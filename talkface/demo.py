"""What `talkface demo` sends: files that ship with the program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from talkface.options import DemoOptions, LoopbackOptions, SourceOptions, StyleChoice

SPEECH = Path(str(files("talkface").joinpath("assets/demo_speech.opus")))
"""A synthetic voice with a pause; `talkface/demo_speech.py` made it."""


def demo_call(wanted: DemoOptions) -> LoopbackOptions:
    """The shipped recording, spoken by the default identity with its own recorded style."""
    return LoopbackOptions(
        source=SourceOptions(input=SPEECH, style=StyleChoice.REFERENCE, preset=wanted.preset),
        model=wanted.model,
        output=wanted.output,
        report=wanted.report,
        html=wanted.html,
    )
