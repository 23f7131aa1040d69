"""The secret of a room: made for who has none, and warned of where it is easily guessed."""

from __future__ import annotations

import math
import re
import secrets
import shlex
from dataclasses import replace

from protocol.identity.words import BITS_PER_WORD, key_words
from talkface.options import MeetingOptions, Role, SideOptions

NUM_WORDS = 3
WANTED_BITS = 30
"""Guesses that a secret should take, as a power of two. Each takes a call that fails before the eyes of its victim, so
that far fewer bits than those of a password for files are enough."""
_KINDS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_BITS_PER_DIGIT = math.log2(10)
_BITS_PER_LETTER = math.log2(26)
_COMMAND_OF_OTHER_END = {Role.CALL: "call", Role.SEND: "receive", Role.RECEIVE: "send"}


def make_secret() -> str:
    """Three words and a number, such as "amber-falcon-river-42": 39 bits."""
    words = [secrets.choice(key_words()) for _ in range(NUM_WORDS)]
    return "-".join([*words, str(10 + secrets.randbelow(90))])


def estimated_bits(secret: str) -> float:
    """How hard a secret is to guess, about: a word counts as one of 2048, what comes twice counts once."""
    return sum(_bits_of(part) for part in set(_KINDS.findall(secret)))


def _bits_of(part: str) -> float:
    if part.isdigit():
        return len(part) * _BITS_PER_DIGIT
    if not part.isalpha():
        return _BITS_PER_DIGIT
    letters = len(set(part)) * (_BITS_PER_LETTER + (not part[1:].islower() and not part.isupper()))
    looks_like_a_word = part.islower() or part.istitle() or part.isupper()
    return min(letters, float(BITS_PER_WORD) * max(1, len(part) // 12)) if looks_like_a_word else letters


def weakness(secret: str) -> str | None:
    """A sentence about a secret that is easily guessed; None for others."""
    bits = estimated_bits(secret)
    if bits >= WANTED_BITS:
        return None
    return (
        f"the room's secret is weak: about {bits:.0f} bits, {WANTED_BITS} are wanted; leave --secret out, and one of "
        f"{NUM_WORDS} words and a number is made"
    )


def with_secret(side: SideOptions) -> tuple[SideOptions, str | None]:
    """The options with a secret in them, and the line for the other person where it has just been made."""
    meeting = side.meeting
    if meeting.secret is not None:
        return side, None
    meeting = replace(meeting, secret=make_secret())
    return replace(side, meeting=meeting), invitation(meeting, side.role)


def invitation(meeting: MeetingOptions, role: Role) -> str:
    """What the other person types."""
    words = ["talkface", _COMMAND_OF_OTHER_END[role], "--signal", meeting.signal_url, "--room", meeting.room]
    return f"TALKFACE_SECRET={shlex.quote(meeting.secret or '')} {shlex.join(words)}"
