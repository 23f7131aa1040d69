"""Two CPU processes under torchrun give the same losses as one with the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import latest_checkpoint, load_checkpoint
from training.distributed import World, join_world

ROOT = Path(__file__).resolve().parents[2]
# Small, without networks that need shipped weights; with critics, R1 and the rate term.
SMALL = {
    # Sums in another order differ by 1e-7. At the recipe's rates each update makes a hundred times more of it, and the
    # third step's losses differ by up to 0.2 %; at these by less than 0.001 %.
    "train": {
        "steps": 3,
        "batch_size": 4,
        "gan_from": 0,
        "gan_ramp": 0,
        "warmup_steps": 0,
        "lr": 1e-4,
        "lr_generator": 2e-4,
        "lr_discriminator": 2e-4,
    },
    "model": {
        "resolution_px": 32,
        "latent_dim": 32,
        "channel_base": 512,
        "channel_max": 16,
        "discriminator_base": 512,
        "discriminator_max": 16,
    },
    "loss": {"r1_interval": 2, "perceptual": 0, "sync": 0, "contrastive": 0, "feature_matching": 0.5},
    "audio": {"voices": 0, "opus_bps": ","},
    "data": {"prefetch": 0},
    "run": {"log_every": 1, "validate_every": 100, "sample_every": 100, "tensorboard": "false"},
}
OPTIONS = [f"--{section}.{name}={value}" for section, fields in SMALL.items() for name, value in fields.items()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_processes(arguments: list[str], processes: int) -> None:
    """Run Python with these arguments, under torchrun where there are several; it must end well."""
    command = [sys.executable]
    if processes > 1:
        # 127.0.0.1 by name: gloo must not go by a host name that resolves elsewhere.
        command += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_addr=127.0.0.1"]
        command += [f"--master_port={free_port()}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command += arguments
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


def run(prepared: Path, out: Path, processes: int) -> list[dict[str, float]]:
    training = ["-m", "training.train", "debug_cpu", "--data", str(prepared), "--out", str(out), "--device", "cpu"]
    run_processes([*training, *OPTIONS], processes)
    rows = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k.startswith(("loss/", "reg/")) or k == "images"} for row in rows]


@pytest.mark.slow
def test_two_processes_equal_one(prepared: Path, tmp_path: Path) -> None:
    one, two = run(prepared, tmp_path / "one", 1), run(prepared, tmp_path / "two", 2)
    training = [row for row in one if "loss/total" in row]
    assert len(training) == 3
    assert training[-1]["images"] == 24
    for a, b in zip(training, (row for row in two if "loss/total" in row), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=2e-4, abs=2e-6), name
    checkpoints = [latest_checkpoint(tmp_path / name / "checkpoints") for name in ("one", "two")]
    assert None not in checkpoints
    first, second = (load_checkpoint(path).tensors for path in checkpoints if path is not None)
    for name, tensor in first.items():
        if name.startswith("ema/faces.generator.synthesis") and tensor.numel() > 1:
            assert torch.allclose(tensor, second[name], rtol=0.02, atol=0.02), name


LEAVES = """
import os
import sys
from pathlib import Path

import torch
from training.distributed import join_world

world = join_world("cpu")
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 4)).sum().backward()
world.mean_gradients(model.parameters())
optimizer.step()
world.close()
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
Path(sys.argv[1], f"rank{world.rank}").write_text(" ".join(name for name in names if "gloo" in name))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_thread_of_the_group_outlives_it(tmp_path: Path) -> None:
    """One that does can abort the process at its end, after all the work was done."""
    script = tmp_path / "leaves.py"
    script.write_text(LEAVES)
    run_processes([str(script), str(tmp_path)], 2)
    # A file each: what two processes write to one pipe may mingle.
    assert {path.name: path.read_text() for path in tmp_path.glob("rank*")} == {"rank0": "", "rank1": ""}


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    world = join_world("cpu")
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    value = torch.tensor(2.0)
    assert world.mean(value) is value
    assert world.agree(3.5) == 3.5
    with pytest.raises(ValueError, match="device must be auto"):
        join_world("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="use --device cpu"):
            join_world("cuda")
    World().close()


@pytest.mark.slow
def test_a_terminated_run_saves_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.train", "debug_cpu", "--data", str(prepared), "--out", str(tmp_path)]
    options = [o for o in OPTIONS if not o.startswith("--train.steps")] + ["--train.steps=100000"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, *options], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    try:
        next(line for line in lines if line.startswith("step 2 "))
        process.terminate()
        rest = "".join(lines)
        assert process.wait(timeout=60) == 130, rest
    finally:
        process.kill()
    assert "interrupted: saved step" in rest
    path = latest_checkpoint(tmp_path / "checkpoints")
    assert path is not None
    assert load_checkpoint(path).meta["step"] >= 2
