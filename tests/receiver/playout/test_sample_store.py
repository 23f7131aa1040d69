"""Bounded measurements."""

from __future__ import annotations

import pytest

from receiver.playout.sample_store import PcmReadyLog, SampleStore


def test_percentiles_over_the_last_values_only() -> None:
    store = SampleStore(capacity=101)
    assert store.percentiles(0.5, 0.95) == [None, None]
    for value in range(1_000):
        store.add(float(value))
    assert store.percentiles(0.0, 0.5, 1.0) == [pytest.approx(899), pytest.approx(949), pytest.approx(999)]
    assert store.count == 1_000


def test_log_keeps_the_newest_in_order() -> None:
    log = PcmReadyLog(capacity=3)
    assert log.rows() == []
    for index in range(5):
        log.add(index, index * 2880, index * 60_000)
    assert log.rows() == [(2, 5760, 120_000), (3, 8640, 180_000), (4, 11_520, 240_000)]
