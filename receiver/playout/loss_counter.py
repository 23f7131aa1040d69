"""How many packets of the stream never came (RFC 3550 appendix A.3), over restarts of the stream too."""

from __future__ import annotations


class LossCounter:
    """Feed every distinct packet once; `lost` may shrink when a misordered packet comes after all."""

    def __init__(self) -> None:
        self._finished_lost = 0
        self._first: int | None = None
        self._newest = 0
        self._received = 0

    @property
    def lost(self) -> int:
        """Packets missing on the network, those repaired from redundancy included."""
        if self._first is None:
            return self._finished_lost
        return self._finished_lost + max(0, self._newest - self._first + 1 - self._received)

    def add(self, sequence: int, *, is_restart: bool) -> int:
        """Count one packet; returns how many packets before it are missing as of now (0 for the next in order)."""
        if is_restart or self._first is None:
            self._finished_lost = self.lost
            self._first = self._newest = sequence
            self._received = 1
            return 0
        self._received += 1
        if sequence < self._first:  # the very first packets came misordered
            self._first = sequence
        missing = max(0, sequence - self._newest - 1)
        self._newest = max(self._newest, sequence)
        return missing
