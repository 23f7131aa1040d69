"""Keys in words: a list that never changes, and every bit counts."""

from __future__ import annotations

import hashlib

import pytest

from protocol.identity.words import NUM_WORDS, key_fingerprint, key_words, words_of


def test_the_list_never_changes() -> None:
    words = key_words()
    assert len(words) == len(set(words)) == NUM_WORDS
    assert list(words) == sorted(words)
    assert all(word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 8 for word in words)
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    assert digest == "a1e7d0d56dc39d8c19c14a7c85343c3257574eb93618fe0910e10a510dad56ee"


def test_words_spell_bits() -> None:
    words = key_words()
    assert words_of(bytes(2), 1) == (words[0],)
    assert words_of(b"\xff\xff\xff", 2) == (words[2047], words[2047])
    assert words_of((5 << 21 | 1029 << 10).to_bytes(4, "big"), 2) == (words[5], words[1029])
    with pytest.raises(ValueError, match="2 bytes do not spell 2 words"):
        words_of(bytes(2), 2)


def test_a_fingerprint_is_of_the_hash() -> None:
    key = bytes(range(32))
    spelt = key_fingerprint(key).split()
    number = int.from_bytes(hashlib.sha256(key).digest()[:11], "big")
    assert spelt == [key_words()[number >> 11 * place & 2047] for place in range(7, -1, -1)]
    assert key_fingerprint(key) == "humble labor flint spider fair ripple far float"
