"""The private names of aiortc and aioice: present, checked, and inert for everybody else."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
from pathlib import Path

import pytest
from aioice import ice

from talkface.rtc.adapter.names import REQUIRED, Feature, missing_features
from talkface.rtc.adapter.sockets import install_sockets

ROOT = Path(__file__).resolve().parents[3]
ADAPTER = ROOT / "talkface" / "rtc" / "adapter"


def test_the_pinned_versions_have_every_name() -> None:
    assert missing_features.__wrapped__() == frozenset()


@pytest.mark.parametrize("feature", list(Feature))
@pytest.mark.parametrize("owner", ["aioice.ice:Connection", "aioice.ice:Connection.gone", "aioice.gone:Connection"])
def test_a_missing_name_switches_its_part_off_and_says_so(
    feature: Feature, owner: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(REQUIRED, feature, ((owner, "a_name_that_is_gone"),))
    caplog.set_level(logging.WARNING)
    assert missing_features.__wrapped__() == {feature}
    assert f"{owner} has no a_name_that_is_gone: stock {feature.value}" in caplog.text


def test_every_private_name_that_is_used_is_required() -> None:
    listed = {name for names in REQUIRED.values() for _, name in names}
    used = {
        node.attr
        for path in ADAPTER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and re.match("_(?!_)", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert len(used) > 10
    assert used <= listed


def test_no_other_file_touches_private_names_of_aiortc() -> None:
    """Attributes with a leading underscore on what comes from aiortc or aioice."""
    private = re.compile(
        r"(transport|receiver|sender|dtls|_pc|sctp|connection|channel)\._(?!_)[a-z]\w+|from aio(ice|rtc)\.\w+ import _"
    )
    assert any(private.search(path.read_text()) for path in ADAPTER.glob("*.py"))
    for path in (ROOT / "talkface").rglob("*.py"):
        if path.parent != ADAPTER:
            found = [line for line in path.read_text().splitlines() if private.search(line)]
            assert not found, f"{path}: {found}"


def test_other_users_of_aioice_see_stock_behaviour() -> None:
    async def run() -> None:
        install_sockets()
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
