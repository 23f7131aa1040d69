"""The private names of aiortc and aioice: present, checked, and inert for everybody else."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from aioice import ice, stun

from talkface import rtc_adapter
from talkface.rtc_adapter import CHECK_DELAYS_S, CONSENT_DELAYS_S, Feature, _PacedTransaction

ROOT = Path(__file__).resolve().parents[2]


def test_the_pinned_versions_have_every_name() -> None:
    assert rtc_adapter.missing_features.__wrapped__() == frozenset()


@pytest.mark.parametrize("feature", list(Feature))
def test_a_missing_name_switches_its_part_off_and_says_so(
    feature: Feature, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = rtc_adapter._REQUIRED[feature][0][0]
    monkeypatch.setitem(rtc_adapter._REQUIRED, feature, ((owner, "a_name_that_is_gone"),))
    caplog.set_level(logging.WARNING)
    assert rtc_adapter.missing_features.__wrapped__() == {feature}
    assert "has no a_name_that_is_gone: stock " + feature.value in caplog.text


def test_no_other_file_touches_private_names_of_aiortc() -> None:
    """Attributes with a leading underscore on what comes from aiortc or aioice."""
    private = re.compile(
        r"(transport|receiver|sender|dtls|_pc|sctp|connection|channel)\._(?!_)[a-z]\w+|from aio(ice|rtc)\.\w+ import _"
    )
    for path in (ROOT / "talkface").glob("*.py"):
        if path.name != "rtc_adapter.py":
            found = [line for line in path.read_text().splitlines() if private.search(line)]
            assert not found, f"{path.name}: {found}"


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
        transaction = _PacedTransaction(message, ("192.0.2.1", 1), socket, b"k")
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
            await _PacedTransaction(request(), ("192.0.2.1", 1), socket, b"k").run((0.02, 10.0), 0.1)
        assert len(socket.sent_s) == 2

    asyncio.run(run())


def test_consent_survives_a_round_trip_of_two_seconds() -> None:
    assert 2.0 + CONSENT_DELAYS_S[0] < rtc_adapter.CONSENT_TIMEOUT_S
    assert rtc_adapter.CHECK_TIMEOUT_S > 10
    assert max(CHECK_DELAYS_S) <= 1.0, "after a blackout the next check leaves within a second"


def test_other_users_of_aioice_see_stock_behaviour() -> None:
    async def run() -> None:
        rtc_adapter._install_sockets()
        one, two = ice.Connection(ice_controlling=True), ice.Connection(ice_controlling=False)
        for end in (one, two):
            await end.gather_candidates()
        if not one.local_candidates:
            pytest.skip("this machine has no network address: stock aioice offers none")
        for end, other in ((one, two), (two, one)):
            for candidate in other.local_candidates:
                await end.add_remote_candidate(candidate)
            await end.add_remote_candidate(None)
            end.remote_username, end.remote_password = other.local_username, other.local_password
        await asyncio.gather(one.connect(), two.connect())
        await one.send(b"\x80hello, RTP or not")
        assert await two.recv() == b"\x80hello, RTP or not"
        await asyncio.gather(one.close(), two.close())

    asyncio.run(run())


def test_host_addresses_leave_out_loopback() -> None:
    addresses = rtc_adapter.host_addresses()
    assert all(not address.startswith(("127.", "::1", "fe80")) for address in addresses)
