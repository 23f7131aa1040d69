"""What `talkface demo` sends: files that ship with the program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from talkface.options import SourceOptions, StyleChoice

SPEECH = Path(str(files("talkface").joinpath("assets/demo_speech.opus")))
"""A synthetic voice with a pause; `talkface/demo_speech.py` made it."""


def demo_source(preset: str) -> SourceOptions:
    """The shipped recording, spoken by the default identity with its own recorded style."""
    return SourceOptions(input=SPEECH, identity="default", style=StyleChoice.REFERENCE, preset=preset)
