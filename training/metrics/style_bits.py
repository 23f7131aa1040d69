"""Bits that the talking style costs, by layer: payload bytes alone and with the lips layer; headers are not in here.

The wire meter of the app counts what a call costs; this is the codec's own share of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StyleBits:
    """Counts payloads; one per clip or per run."""

    base_bytes: int = 0
    lips_bytes: int = 0
    seconds: float = 0.0
    """What the payloads cover; the caller adds it, as payloads come when the face moves."""

    def add(self, base_payload: bytes, full_payload: bytes) -> None:
        """Count one packet's payload, coded without and with the lips layer.

        Args:
            base_payload: bytes with the base layer alone.
            full_payload: bytes with both layers; the difference is what lips cost.
        """
        self.base_bytes += len(base_payload)
        self.lips_bytes += len(full_payload) - len(base_payload)

    def kbps(self) -> dict[str, float]:
        """{"base", "lips", "total"} in kbit/s.

        Raises:
            ValueError: no time was counted.
        """
        if self.seconds <= 0:
            raise ValueError("StyleBits: no time was counted")
        base = self.base_bytes * 8 / self.seconds / 1000
        lips = self.lips_bytes * 8 / self.seconds / 1000
        return {"base": base, "lips": lips, "total": base + lips}
