"""Rate control over simulated minutes: loss brings redundancy, queues bring less, nothing swings."""

from __future__ import annotations

import itertools

import pytest

from protocol.interfaces import ReceptionReport
from protocol.presets import get_preset
from sender.rate_control import RateController, SendingPlan


def report(loss: float = 0.0, rtt: float | None = 80.0, jitter: float = 5.0) -> ReceptionReport:
    return ReceptionReport(fraction_lost=loss, jitter_ms=jitter, round_trip_ms=rtt)


class Timeline:
    """A report every 5 s, as the wire has them."""

    def __init__(self, name: str, *, adaptive: bool = True) -> None:
        self.control = RateController(get_preset(name), adaptive=adaptive)
        self.now_ms = 0.0

    def run(self, seconds: float, **kwargs: float | None) -> SendingPlan:
        end_ms = self.now_ms + seconds * 1000
        plan = self.control.plan
        while self.now_ms < end_ms:
            self.now_ms += 5000
            plan = self.control.on_report(report(**kwargs), self.now_ms)  # type: ignore[arg-type]
        return plan


def test_a_clean_path_changes_nothing() -> None:
    line = Timeline("default")
    plan = line.run(300)
    assert plan == SendingPlan(get_preset("default"), False, True)
    assert line.control.num_changes == 0


def test_loss_switches_redundancy_on_with_the_first_report() -> None:
    plan = Timeline("default").run(5, loss=0.05)
    assert plan.redundancy
    assert plan.preset == get_preset("default")


@pytest.mark.parametrize("loss", [0.05, 0.10, 0.20])
def test_random_loss_is_answered_by_redundancy_alone(loss: float) -> None:
    plan = Timeline("default").run(120, loss=loss)
    assert plan == SendingPlan(get_preset("default"), True, True)


def test_redundancy_goes_after_twenty_calm_seconds_and_not_between() -> None:
    line = Timeline("default")
    line.run(10, loss=0.05)
    assert line.run(20, loss=0.0).redundancy
    assert line.run(5, loss=0.015).redundancy  # between the thresholds: the wait begins again
    assert line.run(20, loss=0.0).redundancy
    assert not line.run(5, loss=0.0).redundancy


def test_loss_that_swings_about_the_threshold_does_not_swing_redundancy() -> None:
    line = Timeline("default")
    for _ in range(20):
        line.run(5, loss=0.03)
        assert line.run(10, loss=0.005).redundancy
    assert line.control.num_changes == 1


def test_a_queue_takes_the_lips_first_then_the_preset() -> None:
    line = Timeline("good")
    line.run(30)
    plans = [line.run(5, rtt=900.0) for _ in range(5)]
    assert [plan.with_lips for plan in plans] == [False] * 5
    assert [plan.preset.name for plan in plans] == ["good", "default", "minimum", "minimum", "minimum"]


def test_a_full_queue_is_not_fed_twice() -> None:
    line = Timeline("default")
    line.run(30)
    plan = line.run(15, rtt=1500.0, loss=0.1)
    assert plan.preset.name == "minimum"
    assert not plan.redundancy


def test_what_was_taken_comes_back_one_step_at_a_time() -> None:
    line = Timeline("good")
    line.run(30)
    line.run(15, rtt=900.0)
    names = [line.run(5).preset.name for _ in range(20)]
    assert names[:5] == ["minimum"] * 5
    assert names[-1] == "good"
    changes = [a for a, b in itertools.pairwise(names) if a != b]
    assert changes == ["minimum", "default"]
    assert line.run(40).with_lips


def test_a_long_round_trip_alone_is_no_queue() -> None:
    assert Timeline("default").run(120, rtt=1500.0) == SendingPlan(get_preset("default"), False, True)


def test_without_a_round_trip_jitter_tells() -> None:
    assert not Timeline("default").run(5, rtt=None, jitter=400.0).with_lips


def test_robust_always_repeats_and_still_yields_to_a_queue() -> None:
    line = Timeline("robust")
    assert line.run(60).redundancy
    plan = line.run(15, rtt=2000.0)
    assert plan.preset.name == "minimum"
    assert not plan.redundancy


def test_minimum_has_nothing_below_it() -> None:
    line = Timeline("minimum")
    line.run(30)
    assert line.run(60, rtt=2000.0) == SendingPlan(get_preset("minimum"), False, False)


def test_a_new_link_has_a_new_round_trip() -> None:
    line = Timeline("default")
    line.run(30, rtt=50.0)
    line.control.on_new_link()
    assert line.run(30, rtt=600.0) == SendingPlan(get_preset("default"), False, True)


def test_a_fixed_preset_stays() -> None:
    line = Timeline("default", adaptive=False)
    assert line.run(60, loss=0.5, rtt=5000.0) == SendingPlan(get_preset("default"), False, True)
