"""A program that has ended is told from a network that is lost, by what signalling and the network say and when."""

from __future__ import annotations

from dataclasses import dataclass

from talkface.rtc.peer_presence import REFUSED_ALONE_US, REFUSED_US, REJOIN_US, PeerPresence

S = 1_000_000


@dataclass
class Link:
    """What a link tells."""

    last_heard_us: int
    last_refused_us: int | None = None


def met() -> PeerPresence:
    """Both are in the room since second 1."""
    presence = PeerPresence()
    presence.connected(1 * S)
    presence.came()
    return presence


def test_a_killed_program_leaves_the_room_in_the_middle_of_its_media() -> None:
    presence, link = met(), Link(last_heard_us=100 * S)
    presence.left(100 * S + 10_000)
    assert not presence.is_gone(103 * S, link, is_silent=True), "it may change its network"
    presence.connected(104 * S)  # we join again, as at every loss: the room is empty
    assert presence.is_gone(100 * S + 10_000 + REJOIN_US, link, is_silent=True)


def test_one_that_only_listened_was_last_heard_a_few_seconds_before() -> None:
    presence, link = met(), Link(last_heard_us=95 * S)
    presence.left(100 * S)
    assert not presence.is_gone(106 * S, link, is_silent=False)
    assert presence.is_gone(107 * S, link, is_silent=True)


def test_a_lost_network_is_found_by_the_servers_ping_and_may_come_back() -> None:
    presence, link = met(), Link(last_heard_us=100 * S)
    presence.left(110 * S)  # the earliest that a ping can fail: 10 s without an answer
    assert not presence.is_gone(200 * S, link, is_silent=True)


def test_a_peer_that_lost_its_way_to_the_server_and_later_its_network_may_come_back() -> None:
    presence, link = met(), Link(last_heard_us=700 * S)
    presence.left(100 * S)
    assert not presence.is_gone(800 * S, link, is_silent=True)


def test_a_peer_that_came_back_is_there() -> None:
    presence, link = met(), Link(last_heard_us=100 * S)
    presence.left(100 * S)
    presence.came()
    assert not presence.is_gone(200 * S, link, is_silent=True)


def test_a_closed_port_is_believed_sooner() -> None:
    presence, link = met(), Link(last_heard_us=100 * S, last_refused_us=100 * S + 60_000)
    presence.left(100 * S)
    assert not presence.is_gone(100 * S + REFUSED_US - 1, link, is_silent=False)
    assert presence.is_gone(100 * S + REFUSED_US, link, is_silent=False)


def test_a_closed_port_of_a_peer_in_the_room_is_a_lost_path() -> None:
    presence, link = met(), Link(last_heard_us=100 * S, last_refused_us=101 * S)
    assert not presence.is_gone(200 * S, link, is_silent=True)


def test_a_port_that_was_closed_for_a_moment_means_nothing() -> None:
    presence, link = met(), Link(last_heard_us=102 * S, last_refused_us=101 * S)
    presence.left(100 * S)
    assert not presence.is_gone(104 * S, link, is_silent=False)


def test_nobody_is_in_the_room_when_we_come_back_to_it() -> None:
    """It left while we could not reach the server: only its closed port says why."""
    presence, link = met(), Link(last_heard_us=100 * S)
    presence.disconnected()
    presence.connected(105 * S)
    assert not presence.is_gone(120 * S, link, is_silent=True)
    link.last_refused_us = 101 * S
    assert presence.is_gone(120 * S, link, is_silent=True)


def test_without_a_server_a_closed_port_needs_longer() -> None:
    presence, link = met(), Link(last_heard_us=100 * S, last_refused_us=101 * S)
    presence.disconnected()
    assert not presence.is_gone(100 * S + REFUSED_ALONE_US - 1, link, is_silent=True)
    assert presence.is_gone(100 * S + REFUSED_ALONE_US, link, is_silent=True)


def test_without_a_server_and_a_word_of_the_network_nothing_is_known() -> None:
    presence, link = met(), Link(last_heard_us=100 * S)
    presence.left(100 * S)
    presence.disconnected()
    assert not presence.is_gone(300 * S, link, is_silent=True)
