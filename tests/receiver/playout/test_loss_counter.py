"""Loss by sequence numbers."""

from __future__ import annotations

from receiver.playout.loss_counter import LossCounter


def test_gaps_are_lost_until_a_misordered_packet_fills_them() -> None:
    losses = LossCounter()
    assert losses.add(100, is_restart=True) == 0
    assert losses.add(101, is_restart=False) == 0
    assert losses.add(104, is_restart=False) == 2
    assert losses.lost == 2
    assert losses.add(103, is_restart=False) == 0
    assert losses.lost == 1


def test_loss_is_carried_over_a_restart() -> None:
    losses = LossCounter()
    losses.add(1, is_restart=True)
    losses.add(3, is_restart=False)
    losses.add(1_003, is_restart=True)
    losses.add(1_004, is_restart=False)
    assert losses.lost == 1


def test_misordered_start_counts_nothing() -> None:
    losses = LossCounter()
    for sequence in (5, 3, 4):
        losses.add(sequence, is_restart=sequence == 5)
    assert losses.lost == 0
    assert LossCounter().lost == 0
