"""Sentences that the user should see: each once, and not more than a person reads."""

from __future__ import annotations

from collections.abc import Callable

MAX_NOTES = 32


class Notes:
    """Bounded; refuses the newest."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        """`on_note` is told each sentence when it is new."""
        self.sentences: list[str] = []
        self._on_note = on_note

    def add(self, sentence: str) -> None:
        """Keep a sentence and tell it."""
        if sentence not in self.sentences and len(self.sentences) < MAX_NOTES:
            self.sentences.append(sentence)
            self._on_note(sentence)
