"""The log of departures has a bound."""

from __future__ import annotations

import pytest

from talkface.side.sent_log import SentLog


def test_sent_log_is_bounded_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentLog, "CAPACITY", 4)
    log = SentLog()
    for i in range(7):
        log.add(i * 2880, i * 60_000)
    assert log.rows() == tuple((i * 2880, i * 60_000) for i in range(3, 7))
