"""From the far end's reports to what is sent: lips, preset, redundancy. Pure: time is an argument.

Two troubles need opposite answers. *Random loss* (radio, a bad cable) is repaired by sending more: the previous packet
rides along. *Congestion* (a queue that fills: the round trip grows) is repaired by sending less: first the lips layer
goes, then the preset steps down. Both are given back slowly, one step at a time, so that nothing swings.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from protocol.interfaces import ReceptionReport
from protocol.presets import PRESETS, Preset

LADDER = ("good", "default", "minimum")
"""From dear to cheap; "robust" is "default" with redundancy."""
REDUNDANCY_ON_LOSS = 0.02
REDUNDANCY_OFF_LOSS = 0.01
REDUNDANCY_HOLD_MS = 20_000
"""Loss has to stay low for this long before redundancy goes."""
STEP_UP_HOLD_MS = 30_000
"""Without congestion for this long before anything is given back."""
STEP_DOWN_HOLD_MS = 4_000
"""A step down has to show in a report before the next is taken."""
QUEUE_MS = 250.0
"""A round trip this far above the shortest of the last minutes is a queue; so is as much jitter."""
HEAVY_LOSS = 0.30
"""Redundancy cannot repair this; a rate cap looks like it."""
_BASE_REPORTS = 60


@dataclass(frozen=True, slots=True)
class SendingPlan:
    """What to send from the next packet on."""

    preset: Preset
    redundancy: bool
    with_lips: bool


class RateController:
    """One per call; a new link keeps it."""

    def __init__(self, preset: Preset, *, adaptive: bool = True) -> None:
        """`preset` is what the user asked for: never left upwards. Not `adaptive`: the plan never changes."""
        self._wanted = preset
        self._adaptive = adaptive
        name = "default" if preset.name == "robust" else preset.name
        first = LADDER.index(name) if name in LADDER else 0
        self._steps = [preset, *(PRESETS[step] for step in LADDER[first + 1 :])] if name in LADDER else [preset]
        self._step = 0
        self._with_lips = True
        self._repairs = preset.redundancy
        self._is_congested = False
        self._low_loss_since_ms: float | None = None
        self._calm_since_ms: float | None = None
        self._changed_ms = -float("inf")
        self._round_trips_ms: deque[float] = deque(maxlen=_BASE_REPORTS)
        self.num_changes = 0

    @property
    def plan(self) -> SendingPlan:
        """What to send now."""
        # A full queue is not emptied by sending everything twice.
        redundancy = self._repairs and not (self._is_congested and self._step > 0)
        return SendingPlan(self._steps[self._step], redundancy, self._with_lips)

    def on_report(self, report: ReceptionReport, now_ms: float) -> SendingPlan:
        """Take a report; returns the plan after it."""
        if not self._adaptive:
            return self.plan
        before = self.plan
        self._is_congested = self._sees_congestion(report)
        self._switch_redundancy(report.fraction_lost, now_ms)
        self._step_down_or_up(now_ms)
        if self.plan != before:
            self.num_changes += 1
        return self.plan

    def on_new_link(self) -> None:
        """Another path: its round trip says nothing about the old one's."""
        self._round_trips_ms.clear()
        self._is_congested = False

    def _sees_congestion(self, report: ReceptionReport) -> bool:
        is_queue = report.jitter_ms > QUEUE_MS
        if report.round_trip_ms is not None:
            self._round_trips_ms.append(report.round_trip_ms)
            is_queue |= report.round_trip_ms > min(self._round_trips_ms) + QUEUE_MS
        return is_queue or report.fraction_lost > HEAVY_LOSS

    def _switch_redundancy(self, fraction_lost: float, now_ms: float) -> None:
        if fraction_lost > REDUNDANCY_ON_LOSS:
            self._repairs = True
        if fraction_lost >= REDUNDANCY_OFF_LOSS or self._wanted.redundancy:
            self._low_loss_since_ms = None
            return
        if self._low_loss_since_ms is None:
            self._low_loss_since_ms = now_ms
        if now_ms - self._low_loss_since_ms >= REDUNDANCY_HOLD_MS:
            self._repairs = False

    def _step_down_or_up(self, now_ms: float) -> None:
        if self._is_congested:
            self._calm_since_ms = None
            if now_ms - self._changed_ms < STEP_DOWN_HOLD_MS:
                return
            if self._with_lips:
                self._with_lips = False
            elif self._step < len(self._steps) - 1:
                self._step += 1
            else:
                return
            self._changed_ms = now_ms
            return
        if self._calm_since_ms is None:
            self._calm_since_ms = now_ms
        if now_ms - self._calm_since_ms < STEP_UP_HOLD_MS:
            return
        if self._step > 0:
            self._step -= 1
        elif not self._with_lips:
            self._with_lips = True
        else:
            return
        self._calm_since_ms = self._changed_ms = now_ms
