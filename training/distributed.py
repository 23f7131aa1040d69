"""Data parallel training under torchrun: gradients are averaged over processes after each phase's backward pass.

Plain all-reduce of one flat buffer instead of a wrapper: four backward passes per step (Gmain, Dmain, Dreg and
accumulation parts) would each trigger one, and an explicit call says when. gloo on CPUs, nccl on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

# Its functions have the group as default argument. Optimisers import it on first use: after init_process_group those
# defaults would keep the group, and its threads would run on into the end of the interpreter, where they can abort it.
import torch.distributed.nn
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and talks."""
        return self.rank == 0

    @property
    def reads_are_free(self) -> bool:
        """True where a value can be looked at without waiting for a device that is still computing."""
        return self.device.type == "cpu"

    def log(self, text: str) -> None:
        """A line on standard output, from the main process only, at once: a log is read while the run goes on."""
        if self.is_main:
            print(text, flush=True)

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes; parameters without one in any process stay so."""
        if self.size == 1:
            return
        chosen = [p for p in parameters if p.requires_grad]
        if not chosen:
            return
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in chosen])
        has = torch.tensor([float(p.grad is not None) for p in chosen], device=flat.device)
        dist.all_reduce(flat)
        dist.all_reduce(has)
        flat /= self.size
        for p, piece, anywhere in zip(chosen, flat.split([p.numel() for p in chosen]), has.tolist(), strict=True):
            p.grad = piece.view_as(p).clone() if anywhere else None

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def same_everywhere(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the main one's values (start of a run)."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def agree(self, value: float) -> float:
        """The main process's number, so that all take the same decision about time."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join_world(device: str = "auto") -> World:
    """Read torchrun's environment; alone without it.

    Args:
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        ValueError: cuda was asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("device cuda: this machine has no usable NVIDIA GPU; use --device cpu")
    use_cuda = has_cuda and device != "cpu"
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if use_cuda:
        torch.cuda.set_device(local)
    if size > 1:
        dist.init_process_group("nccl" if use_cuda else "gloo")
    return World(rank, size, torch.device("cuda", local) if use_cuda else torch.device("cpu"))
