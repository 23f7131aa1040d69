"""What a run says while it goes on: to a person who looks at its log, and in time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running_command import RunningCommand

from training.stats import QUIET_S, ProgressTalk

SMALL = (
    "--model.resolution_px=32",
    "--model.latent_dim=32",
    "--model.channel_base=512",
    "--model.channel_max=16",
    "--model.discriminator_base=512",
    "--model.discriminator_max=16",
    "--audio.voices=0",
    "--run.tensorboard=false",
)


def test_a_run_is_never_quiet_for_long() -> None:
    lines: list[str] = []
    now = [0.0]
    talk = ProgressTalk(lines.append, lambda: now[0])
    for step in range(1, 11):
        talk.tell(step, step / 100, step * 10.0, {"step": step, "loss/total": 1.0} if step == 8 else None)
        now[0] += QUIET_S / 2
    assert [line.split()[1] for line in lines] == ["1", "3", "5", "7", "8", "10"]
    assert lines[0] == "step 1  1.0 %  16 min 30 s left"
    assert "total 1" in lines[4]


@pytest.mark.slow
def test_a_run_is_heard_before_its_first_row_of_statistics(prepared: Path, tmp_path: Path) -> None:
    arguments = ("train", "debug_cpu", "--data", str(prepared), "--out", str(tmp_path / "run"))
    with RunningCommand(*arguments, *SMALL, "--run.log_every=100000", "--train.steps=100000") as command:
        command.wait_for("reading 5 clips")
        command.wait_for("step 1 ")


@pytest.mark.slow
def test_measuring_prints_each_clip_as_it_is_known(prepared: Path) -> None:
    arguments = ("evaluate", "--data", str(prepared), "--weights", "tiny", "--mode", "live")
    with RunningCommand(*arguments) as command:
        command.wait_for("[1/2] clip5")


@pytest.mark.slow
def test_preparing_says_what_there_is_to_do(prepared: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for video in sorted(prepared.glob("*.mp4"))[:3]:
        shutil.copy(video, raw)
    with RunningCommand("prepare", str(raw), str(tmp_path / "out"), "--workers", "1") as command:
        command.wait_for("3 files to prepare, 1 at a time")
        command.wait_for("[1/3]")


@pytest.mark.slow
def test_teaching_by_sound_says_what_it_reads(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunningCommand(
        "train", "debug_cpu", "--data", str(prepared), "--out", str(run), *SMALL, "--train.steps=1"
    ) as command:
        assert command.wait(timeout_s=240) == 0, command.output
    with RunningCommand("train-audio", str(run), "--data", str(prepared), "--out", str(tmp_path / "audio")) as command:
        command.wait_for("reading 5 clips in 1 voices")
        command.wait_for("sound explains")
