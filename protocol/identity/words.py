"""Keys in words, for people to read to each other: 11 bits a word, from a list of 2048 of our own.

The list never changes: a key has the same words at every end and in every version.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

NUM_WORDS = 2048
BITS_PER_WORD = 11
FINGERPRINT_WORDS = 8
"""88 bits: more than anybody can search for a key whose words are somebody else's."""


@cache
def key_words() -> tuple[str, ...]:
    """The list, in alphabetical order."""
    return tuple(files("protocol.identity").joinpath("data/key_words.txt").read_text(encoding="ascii").split())


def words_of(data: bytes, count: int) -> tuple[str, ...]:
    """The first `count` words that some bytes spell, most significant bits first.

    Raises:
        ValueError: there are fewer bits than that.
    """
    spare = 8 * len(data) - BITS_PER_WORD * count
    if count < 1 or spare < 0:
        raise ValueError(f"{len(data)} bytes do not spell {count} words of {BITS_PER_WORD} bits")
    number = int.from_bytes(data, "big") >> spare
    places = (number >> BITS_PER_WORD * (count - 1 - index) for index in range(count))
    return tuple(key_words()[place % NUM_WORDS] for place in places)


def key_fingerprint(public_key: bytes) -> str:
    """A public key in eight words: of its SHA-256, with spaces between."""
    return " ".join(words_of(hashlib.sha256(public_key).digest(), FINGERPRINT_WORDS))
