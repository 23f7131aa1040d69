"""The loop of small networks: its schedule, its end, resuming, and a loss that is not finite."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.small_nets.loop import LOG_EVERY, TimedSchedule, train_small
from training.small_nets.run import SmallRun


class Line:
    """Learning y = 2 x: batch k is the same whoever asks for it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        net = nn.Linear(1, 1)
        optimiser = torch.optim.AdamW(net.parameters(), lr=0.1)
        self.run = SmallRun(net, optimiser, copy.deepcopy(net).requires_grad_(False))
        self.spoilt_at = -1

    def losses(self) -> dict[str, Tensor]:
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(self.run.num_steps))
        error = (self.run.net(x) - 2 * x).square().mean()
        return {"loss/line": error / 0 if self.run.num_steps == self.spoilt_at else error}

    def train(self, max_steps: int) -> None:
        train_small(self.run, TimedSchedule(lr=0.1, minutes=60, warmup_steps=5, max_steps=max_steps), self.losses)


def test_schedule_warms_up_and_ends_at_zero() -> None:
    schedule = TimedSchedule(lr=1.0, minutes=1.0, warmup_steps=200)
    assert schedule.learning_rate(0, 0.0) == pytest.approx(1 / 200)
    assert schedule.learning_rate(1000, 0.5) == pytest.approx(0.5)
    assert schedule.learning_rate(1000, 1.2) == pytest.approx(0.0, abs=1e-12)


def test_progress_is_of_time_or_of_steps_whichever_is_further() -> None:
    run = Line().run
    run.num_steps, run.spent_s = 30, 15.0
    assert TimedSchedule(lr=1.0, minutes=1.0, warmup_steps=1).progress(run) == 0.25
    assert TimedSchedule(lr=1.0, minutes=1.0, warmup_steps=1, max_steps=60).progress(run) == 0.5


def test_time_ends_a_run_and_its_last_step_is_told() -> None:
    line, heard = Line(), []
    began = time.monotonic()
    train_small(line.run, TimedSchedule(lr=0.1, minutes=0.2 / 60, warmup_steps=1), line.losses, after_step=heard.append)
    assert 0.2 <= line.run.spent_s <= time.monotonic() - began
    assert heard == sorted(heard)
    assert heard[-1] >= 1 > (heard[-2] if len(heard) > 1 else 0)


def test_loss_falls_and_lines_hold_its_means() -> None:
    line, lines = Line(), []
    schedule = TimedSchedule(lr=0.1, minutes=60, warmup_steps=5, max_steps=3 * LOG_EVERY)
    train_small(line.run, schedule, line.losses, {"loss/line": 0.5}, clip_gradient=5.0, log=lines.append)
    assert [text.split()[1] for text in lines] == ["50", "100", "150"]
    means = [float(text.split()[-1]) for text in lines]
    assert means[0] > 10 * means[2]
    assert isinstance(line.run.net, nn.Linear)
    assert line.run.net.weight.item() == pytest.approx(2, abs=0.1)


def test_resuming_goes_on_exactly(tmp_path: Path) -> None:
    whole, first, second = Line(), Line(), Line()
    schedule = TimedSchedule(lr=0.1, minutes=1e9, warmup_steps=5, max_steps=10)

    def save_half(progress: float) -> None:
        if first.run.num_steps == 5:
            first.run.save(tmp_path / "state.pt")

    train_small(whole.run, schedule, whole.losses)
    train_small(first.run, schedule, first.losses, after_step=save_half)
    second.run.resume(tmp_path / "state.pt")
    assert second.run.num_steps == 5
    train_small(second.run, schedule, second.losses)
    assert whole.run.average is not None
    assert second.run.average is not None
    for a, b in ((whole.run.net, second.run.net), (whole.run.average, second.run.average)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_before_the_step_is_taken() -> None:
    line, same = Line(), Line()
    line.spoilt_at = 3
    with pytest.raises(FloatingPointError, match=r"not finite at step 3.*lower --lr"):
        line.train(max_steps=10)
    assert line.run.num_steps == 3
    assert all(bool(p.isfinite().all()) for p in line.run.net.parameters())
    assert not torch.equal(next(line.run.net.parameters()), next(same.run.net.parameters()))
