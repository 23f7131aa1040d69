"""What a bad network does to one direction of a call: pure arithmetic, seeded, time as an argument."""

from __future__ import annotations

import random

from talkface.options import NetworkOptions

MAX_QUEUE_S = 1.0
"""A rate-capped link buffers this much and drops the rest, as home routers do."""


class Impairment:
    """Decides when each datagram of one direction leaves, if at all.

    Args:
        options: what the network does.
        seed: the same seed and the same datagrams give the same fate.
    """

    def __init__(self, options: NetworkOptions, seed: int) -> None:
        self._options = options
        self._random = random.Random(seed)
        self._start_s: float | None = None
        self._last_due_s = 0.0
        self._line_free_s = 0.0
        self._burst_until_s = self._next_burst_s = 0.0
        self.lost = 0
        self.passed = 0

    def schedule(self, now_s: float, size_bytes: int) -> list[float]:
        """When the datagram that comes now leaves: no time when it is lost, two when it is doubled."""
        if self._start_s is None:
            self._start_s = now_s
            self._next_burst_s = now_s + self._burst_gap_s() / 2
        chosen = self._options
        is_lost = self._is_lost(now_s)
        due_s = self._line(now_s, size_bytes)
        if is_lost or due_s is None:
            self.lost += 1
            return []
        due_s += chosen.delay_ms / 1000 + abs(self._random.gauss(0.0, 1.0)) * chosen.jitter_ms / 1000
        due_s = max(due_s, self._last_due_s)
        self._last_due_s = due_s
        self.passed += 1
        return [due_s, due_s] if self._random.random() < chosen.duplicate else [due_s]

    def is_held_back(self) -> bool:
        """True when the datagram just scheduled is to leave behind its successor."""
        return self._random.random() < self._options.reorder

    def _is_lost(self, now_s: float) -> bool:
        assert self._start_s is not None
        chosen, since_s = self._options, now_s - self._start_s
        draw = self._random.random()  # always drawn, so that one setting does not shift the fate under another
        if chosen.blackout_s and chosen.blackout_at_s <= since_s < chosen.blackout_at_s + chosen.blackout_s:
            return True
        if chosen.loss_until_s and since_s >= chosen.loss_until_s:
            return False
        if not chosen.burst_ms:
            return draw < chosen.loss
        if now_s >= self._next_burst_s and chosen.loss:
            self._burst_until_s = self._next_burst_s + chosen.burst_ms / 1000
            self._next_burst_s = max(now_s, self._burst_until_s) + self._burst_gap_s()
        return now_s < self._burst_until_s

    def _burst_gap_s(self) -> float:
        """Time between two bursts: such that bursts take the share `loss`, spread by half to either side."""
        chosen = self._options
        if not chosen.loss or not chosen.burst_ms:
            return 0.0
        mean_s = chosen.burst_ms / 1000 * (1 - chosen.loss) / chosen.loss
        return mean_s * self._random.uniform(0.5, 1.5)

    def _line(self, now_s: float, size_bytes: int) -> float | None:
        """End of transmission on the capped line; None when its buffer is full."""
        if not self._options.rate_kbps:
            return now_s
        start_s = max(now_s, self._line_free_s)
        if start_s - now_s > MAX_QUEUE_S:
            return None
        self._line_free_s = start_s + size_bytes * 8 / (self._options.rate_kbps * 1000)
        return self._line_free_s
