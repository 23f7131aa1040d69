"""Secrets that are made, and those that are warned of."""

from __future__ import annotations

import shlex

import pytest

from protocol.identity.words import key_words
from talkface.errors import UserError
from talkface.options import MeetingOptions, Role, SideOptions
from talkface.room_secret import WANTED_BITS, estimated_bits, make_secret, weakness, with_secret

MEETING = MeetingOptions(signal_url="wss://meet.example:8765", room="our kitchen")


def test_a_made_secret_is_three_words_and_a_number_and_strong_enough() -> None:
    made = {make_secret() for _ in range(50)}
    assert len(made) == 50
    for secret in made:
        *words, number = secret.split("-")
        assert len(words) == 3
        assert set(words) <= set(key_words())
        assert 10 <= int(number) <= 99
        assert len(set(words)) < 3 or weakness(secret) is None


@pytest.mark.parametrize(
    "secret", ["tea", "1234", "12345678", "Kitchen", "tea-tea-tea-tea", "password1", "aaaaaaaaaaaa", "hunter22"]
)
def test_a_weak_secret_is_warned_of(secret: str) -> None:
    assert estimated_bits(secret) < WANTED_BITS
    assert "30 are wanted" in str(weakness(secret))


@pytest.mark.parametrize("secret", ["amber-falcon-river-42", "4Qz_9aXw7Lm", "p7Q2vN8-kR4tYx0c", "73921046558"])
def test_a_strong_secret_is_not(secret: str) -> None:
    assert weakness(secret) is None


@pytest.mark.parametrize(("role", "command"), [(Role.CALL, "call"), (Role.SEND, "receive"), (Role.RECEIVE, "send")])
def test_the_line_for_the_other_person_holds_what_they_need(role: Role, command: str) -> None:
    side, line = with_secret(SideOptions(role=role, meeting=MEETING))
    assert line is not None
    secret = side.meeting.secret
    assert shlex.split(line) == [
        f"TALKFACE_SECRET={secret}", "talkface", command, "--signal", "wss://meet.example:8765", "--room", "our kitchen"
    ]  # fmt: skip
    assert with_secret(side) == (side, None)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(UserError, match="must not be empty"):
        MeetingOptions(signal_url="ws://x:1", room="r", secret="")
