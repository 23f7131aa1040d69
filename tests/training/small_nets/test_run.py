"""A small run goes on where it was saved, and only with its own network."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.errors import WeightsError
from training.small_nets.run import SmallRun


def test_the_average_moves_quickly_at_first_and_takes_counters_over() -> None:
    net = nn.BatchNorm1d(2)
    run = SmallRun(net, torch.optim.SGD(net.parameters(), lr=0.1), copy.deepcopy(net))
    assert isinstance(run.average, nn.BatchNorm1d)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.running_mean.fill_(1.0)  # type: ignore[union-attr]
        net.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    run.num_steps = 1
    run.update_average()
    assert run.average.weight.tolist() == pytest.approx([1 + 2 * 9 / 11] * 2)
    assert run.average.running_mean.tolist() == pytest.approx([9 / 11] * 2)  # type: ignore[union-attr]
    assert int(run.average.num_batches_tracked) == 7  # type: ignore[arg-type]
    run.num_steps = 1_000_000
    with torch.no_grad():
        run.average.weight.fill_(1.0)
    run.update_average()
    assert run.average.weight.tolist() == pytest.approx([1.002] * 2)


def test_another_network_is_refused(tmp_path: Path) -> None:
    small, large = nn.Linear(2, 1), nn.Linear(3, 1)
    SmallRun(small, torch.optim.SGD(small.parameters(), lr=0.1)).save(tmp_path / "state.pt")
    run = SmallRun(large, torch.optim.SGD(large.parameters(), lr=0.1))
    with pytest.raises(WeightsError, match=r"state\.pt: net: weight: expected \[1, 3\], got \[1, 2\]"):
        run.resume(tmp_path / "state.pt")
