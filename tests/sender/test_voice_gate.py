"""The gate: hangover, the rhythm of comfort noise, where style rides in silence."""

from __future__ import annotations

import pytest

from sender.voice_gate import SlotKind, VoiceGate

S, C, T, N = SlotKind.SPEECH, SlotKind.COMFORT_NOISE, SlotKind.STYLE, SlotKind.NOTHING


def run(gate: VoiceGate, voiced: list[bool], packet_ms: int = 60) -> list[SlotKind]:
    return [gate.next_slot([flag] * (packet_ms // 20), packet_ms) for flag in voiced]


def test_hangover_is_300_ms_then_comfort_noise_each_420_ms() -> None:
    slots = run(VoiceGate(), [True] + [False] * 5 + [False] * 15)
    assert slots[:6] == [S] * 6
    assert slots[6:] == [C, N, N, N, N, N, N, C, N, N, N, N, N, N, C]


def test_hangover_is_shorter_in_a_quiet_room() -> None:
    gate = VoiceGate()
    slots = [gate.next_slot([flag] * 3, 60, 30.0) for flag in [True] + [False] * 5]
    assert slots == [S, S, S, S, C, N]


def test_style_rides_one_slot_before_every_third_byte() -> None:
    slots = run(VoiceGate(), [True] + [False] * 5 + [False] * 45)[6:]
    assert [i for i, slot in enumerate(slots) if slot is C] == [0, 7, 14, 21, 28, 35, 42]
    assert [i for i, slot in enumerate(slots) if slot is T] == [20, 41]


@pytest.mark.parametrize(("packet_ms", "open_slots", "interval"), [(20, 15, 20), (40, 8, 10), (120, 3, 3)])
def test_other_packet_durations(packet_ms: int, open_slots: int, interval: int) -> None:
    slots = run(VoiceGate(), [True] + [False] * 80, packet_ms)
    assert slots[: 1 + open_slots] == [S] * (1 + open_slots)
    silent = slots[1 + open_slots :]
    assert [i for i, slot in enumerate(silent) if slot is C][:3] == [0, interval, 2 * interval]


def test_one_voiced_frame_opens_the_packet_it_is_in() -> None:
    gate = VoiceGate()
    run(gate, [False] * 10)
    assert gate.next_slot([False, False, True], 60) is S
    assert gate.next_slot([False, False, False], 60) is S


def test_speech_starts_the_rhythm_again() -> None:
    gate = VoiceGate()
    run(gate, [True] + [False] * 9)
    assert run(gate, [True] + [False] * 6)[-1] is C


def test_a_call_that_begins_in_silence_waits_for_the_hangover_once() -> None:
    assert run(VoiceGate(), [False] * 7) == [S, S, S, S, S, C, N]
