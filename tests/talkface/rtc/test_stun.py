"""STUN requests on our schedule."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aioice import stun

from talkface.rtc import stun as our_stun
from talkface.rtc.stun import (
    CHECK_DELAYS_S,
    CHECK_TIMEOUT_S,
    CONSENT_DELAYS_S,
    CONSENT_EXPIRY_S,
    CONSENT_INTERVAL_S,
    CONSENT_TIMEOUT_S,
    PacedTransaction,
    keep_consent,
)


class FakeSocket:
    """Takes note of when requests leave."""

    def __init__(self) -> None:
        self.sent_s: list[float] = []

    def send_stun(self, message: stun.Message, addr: Any) -> None:
        self.sent_s.append(asyncio.get_running_loop().time())


def request(key: bytes | None = b"k") -> stun.Message:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    if key:
        message.add_message_integrity(key)
    return message


def response(to: stun.Message, key: bytes) -> stun.Message:
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, to.transaction_id)
    message.add_message_integrity(key)
    # What arrives has been parsed from bytes: only then does aioice know what the MAC covers.
    return stun.parse_message(bytes(message))


def test_a_check_is_repeated_until_an_authentic_answer() -> None:
    async def run() -> int:
        socket, message = FakeSocket(), request()
        transaction = PacedTransaction(message, ("192.0.2.1", 1), socket, b"k")
        running = asyncio.ensure_future(transaction.run((0.01, 0.02), 5.0))
        await asyncio.sleep(0.1)
        transaction.response_received(response(message, b"forged"), ("192.0.2.1", 1))
        await asyncio.sleep(0.01)
        assert not running.done()
        transaction.response_received(response(message, b"k"), ("192.0.2.1", 1))
        answer, addr = await running
        assert answer.transaction_id == message.transaction_id
        assert addr == ("192.0.2.1", 1)
        return len(socket.sent_s)

    assert asyncio.run(run()) >= 3


def test_a_check_without_an_answer_times_out_as_aioice_expects() -> None:
    async def run() -> None:
        socket = FakeSocket()
        with pytest.raises(stun.TransactionError):
            await PacedTransaction(request(), ("192.0.2.1", 1), socket, b"k").run((0.02, 10.0), 0.1)
        assert len(socket.sent_s) == 2

    asyncio.run(run())


def test_consent_survives_a_round_trip_of_two_seconds() -> None:
    assert 2.0 + CONSENT_DELAYS_S[0] < CONSENT_TIMEOUT_S
    assert CHECK_TIMEOUT_S > 10
    assert max(CHECK_DELAYS_S) <= 1.0, "after a blackout the next check leaves within a second"


def test_consent_expires_only_when_every_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our_stun, "CONSENT_INTERVAL_S", 0.02)
    monkeypatch.setattr(our_stun, "CONSENT_RETRY_S", 0.01)
    monkeypatch.setattr(our_stun, "CONSENT_EXPIRY_S", 0.2)
    checks: list[bool] = []

    async def check() -> bool:
        checks.append(len(checks) % 3 == 2 and len(checks) < 30)  # two of three are lost, then all
        return checks[-1]

    async def run() -> None:
        async with asyncio.timeout(10):
            await keep_consent(check)

    asyncio.run(run())
    assert len(checks) > 30
    assert sum(checks) == 10


def test_there_is_time_for_several_checks_before_consent_expires() -> None:
    assert CONSENT_INTERVAL_S * 1.2 + 3 * CONSENT_TIMEOUT_S < CONSENT_EXPIRY_S
