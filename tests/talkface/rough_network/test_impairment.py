"""What the bad network does, in simulated time."""

from __future__ import annotations

import statistics

import pytest

from talkface.errors import UserError
from talkface.options import NetworkOptions
from talkface.rough_network.impairment import MAX_QUEUE_S, Impairment


def fates(settings: NetworkOptions, seconds: float = 600.0, seed: int = 1, size: int = 114) -> list[list[float]]:
    """Due times of a 60 ms packet stream."""
    impairment = Impairment(settings, seed)
    return [impairment.schedule(100 + i * 0.06, size) for i in range(int(seconds / 0.06))]


def test_a_clean_network_passes_everything_at_once() -> None:
    assert fates(NetworkOptions(), 6.0) == [[100 + i * 0.06] for i in range(100)]


def test_loss_has_its_share_and_its_seed() -> None:
    lost = [not due for due in fates(NetworkOptions(loss=0.1))]
    assert statistics.mean(lost) == pytest.approx(0.1, abs=0.015)
    assert lost == [not due for due in fates(NetworkOptions(loss=0.1))]
    assert lost != [not due for due in fates(NetworkOptions(loss=0.1), seed=2)]
    with_jitter = [not due for due in fates(NetworkOptions(loss=0.1, jitter_ms=5))]
    assert statistics.mean(with_jitter) == pytest.approx(0.1, abs=0.015)


def test_bursts_lose_a_stretch_and_keep_their_share() -> None:
    lost = [not due for due in fates(NetworkOptions(loss=0.1, burst_ms=180), seconds=3000)]
    assert statistics.mean(lost) == pytest.approx(0.1, abs=0.02)
    runs, run = [], 0
    for is_lost in lost:
        run = run + 1 if is_lost else (runs.append(run) if run else None) or 0
    assert set(runs) <= {2, 3, 4}, "180 ms is three packets, one more or less at the edges"


def test_loss_ends_when_asked() -> None:
    lost = [not due for due in fates(NetworkOptions(loss=0.5, loss_until_s=3.0), 12.0)]
    assert 10 < sum(lost[:50]) < 40
    assert not any(lost[50:])


def test_blackout_passes_nothing_for_its_time() -> None:
    lost = [not due for due in fates(NetworkOptions(blackout_at_s=3.0, blackout_s=6.0), 12.0)]
    assert [index for index, is_lost in enumerate(lost) if is_lost] == list(range(50, 150))


def test_delay_and_jitter_are_added_in_order() -> None:
    due = [times[0] - (100 + i * 0.06) for i, times in enumerate(fates(NetworkOptions(delay_ms=300, jitter_ms=20)))]
    assert min(due) >= 0.3
    assert statistics.mean(due) == pytest.approx(0.3 + 0.02 * 0.798, abs=0.002)
    absolute = [times[0] for times in fates(NetworkOptions(delay_ms=300, jitter_ms=200))]
    assert absolute == sorted(absolute)


def test_duplicates_and_reordering_have_their_share() -> None:
    doubled = [len(times) == 2 for times in fates(NetworkOptions(duplicate=0.2))]
    assert statistics.mean(doubled) == pytest.approx(0.2, abs=0.02)
    impairment = Impairment(NetworkOptions(reorder=0.2), 1)
    assert statistics.mean(impairment.is_held_back() for _ in range(10_000)) == pytest.approx(0.2, abs=0.02)


def test_rate_cap_delays_then_drops() -> None:
    fitting = fates(NetworkOptions(rate_kbps=15.2), 60.0)  # exactly 114 bytes per 60 ms
    assert all(times for times in fitting)
    over = fates(NetworkOptions(rate_kbps=7.6), 60.0)
    assert statistics.mean(not times for times in over) == pytest.approx(0.5, abs=0.03)
    waits = [times[0] - (100 + i * 0.06) for i, times in enumerate(over) if times]
    assert max(waits) <= MAX_QUEUE_S + 0.13


@pytest.mark.parametrize(("name", "value"), [("loss", 1.5), ("delay_ms", -1), ("duplicate", 2), ("loss", float("nan"))])
def test_wrong_values_are_named(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} "):
        NetworkOptions(**{name: value})


def test_the_report_names_what_is_rough() -> None:
    assert NetworkOptions(seed=7).is_clean
    assert NetworkOptions(blackout_at_s=3.0).described() == {}, "there is no blackout"
    assert NetworkOptions(blackout_s=2.0, seed=7).described() == {"blackout_at_s": 5.0, "blackout_s": 2.0, "seed": 7.0}
