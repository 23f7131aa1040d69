"""The jitter buffer, one test per event, and any order of arrival."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.opus_padding import PlainOpus
from receiver.media_packet import MediaPacket
from receiver.playout.jitter_buffer import MAX_BUFFERED_TICKS, AddResult, JitterBuffer

PTIME = 2880


def packet(sequence: int, *, is_repair: bool = False, duration: int = PTIME) -> MediaPacket:
    return MediaPacket(
        sequence=sequence,
        start_ticks=sequence * PTIME,
        opus=PlainOpus(b"x", duration, is_empty=False),
        arrival_us=0,
        is_repair=is_repair,
    )


def assert_slots(buffer: JitterBuffer, cursor: int, expected: list[int | None]) -> None:
    """Taking packet time by packet time from `cursor` gives these sequences (None: nothing there)."""
    taken = [buffer.take(cursor + index * PTIME) for index in range(len(expected))]
    assert [None if p is None else p.sequence for p in taken] == expected


def test_packets_come_out_in_order_of_time() -> None:
    buffer = JitterBuffer()
    for sequence in (2, 0, 1):
        assert buffer.add(packet(sequence), 0) is AddResult.STORED
    assert buffer.counters.stored == 3
    assert_slots(buffer, 0, [0, 1, 2, None])
    assert len(buffer) == 0


def test_gap_is_left_open() -> None:
    buffer = JitterBuffer()
    for sequence in (0, 2):
        buffer.add(packet(sequence), 0)
    following = buffer.next_after(PTIME)
    assert following is not None
    assert following.sequence == 2
    assert_slots(buffer, 0, [0, None, 2])


def test_late_packet_is_refused() -> None:
    buffer = JitterBuffer()
    assert buffer.add(packet(3), 4 * PTIME) is AddResult.LATE
    assert buffer.counters.late == 1
    assert len(buffer) == 0


def test_partly_late_packet_is_kept() -> None:
    buffer = JitterBuffer()
    assert buffer.add(packet(3), 4 * PTIME - 1) is AddResult.STORED
    taken = buffer.take(4 * PTIME - 1)
    assert taken is not None
    assert taken.sequence == 3


def test_duplicate_is_refused_before_and_after_it_was_played() -> None:
    buffer = JitterBuffer()
    buffer.add(packet(1), 0)
    assert buffer.add(packet(1), 0) is AddResult.DUPLICATE
    assert_slots(buffer, PTIME, [1])
    assert buffer.add(packet(1), 0) is AddResult.DUPLICATE
    assert buffer.counters.duplicates == 2


def test_packet_from_the_far_future_is_refused() -> None:
    buffer = JitterBuffer()
    assert buffer.add(packet(MAX_BUFFERED_TICKS // PTIME + 1), 0) is AddResult.TOO_EARLY
    assert buffer.counters.too_early == 1


def test_full_buffer_refuses_the_newest() -> None:
    buffer = JitterBuffer(max_packets=2)
    assert [buffer.add(packet(sequence), 0) for sequence in range(3)][-1] is AddResult.FULL
    assert len(buffer) == 2
    assert_slots(buffer, 0, [0, 1, None])


def test_repair_fills_a_hole_and_gives_way_to_the_real_packet() -> None:
    buffer = JitterBuffer()
    assert buffer.add_repair(packet(1, is_repair=True), 0)
    assert not buffer.add_repair(packet(1, is_repair=True), 0)
    assert buffer.add(packet(1), 0) is AddResult.STORED
    taken = buffer.take(PTIME)
    assert taken is not None
    assert not taken.is_repair


def test_repair_of_a_packet_that_was_here_is_refused() -> None:
    buffer = JitterBuffer()
    buffer.add(packet(1), 0)
    buffer.take(PTIME)
    assert not buffer.add_repair(packet(1, is_repair=True), 0)


def test_repair_after_its_time_is_refused() -> None:
    assert not JitterBuffer().add_repair(packet(1, is_repair=True), 2 * PTIME)


def test_skipped_packets_are_dropped_when_the_cursor_has_passed_them() -> None:
    buffer = JitterBuffer()
    for sequence in range(4):
        buffer.add(packet(sequence), 0)
    assert_slots(buffer, 3 * PTIME, [3])
    assert len(buffer) == 0


def test_of_two_overlapping_packets_the_later_start_is_played() -> None:
    buffer = JitterBuffer()
    buffer.add(packet(0, duration=5 * PTIME), 0)
    buffer.add(packet(1), 0)
    taken = buffer.take(PTIME)
    assert taken is not None
    assert taken.sequence == 1


@given(st.permutations(range(20)), st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19)))
def test_any_order_loss_and_duplication_gives_increasing_time(
    order: list[int], lost: set[int], doubled: set[int]
) -> None:
    buffer = JitterBuffer()
    for sequence in order:
        if sequence in lost:
            continue
        assert buffer.add(packet(sequence), 0) is AddResult.STORED
        if sequence in doubled:
            assert buffer.add(packet(sequence), 0) is AddResult.DUPLICATE
    assert_slots(buffer, 0, [None if index in lost else index for index in range(20)])
