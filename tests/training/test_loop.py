"""The loop on synthetic clips: losses fall, resume is exact, parts and processes do not matter, failures are clean."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from talkface_core.errors import CheckpointMismatchError
from training.checkpoint import CheckpointWriteError, latest_checkpoint, load_checkpoint
from training.config import LossConfig, TrainConfig
from training.data.clip_store import open_folder
from training.data.sampler import Sampler
from training.distributed import World
from training.loop import Run, open_run, train_step
from training.loss.feature_networks import FeatureNetworks
from training.schedule import learning_rate_factor, phase_at, progress
from training.state import new_state
from training.stats import NonFiniteLossError


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if "/" in k and not k.startswith("time")} for row in rows(folder)]


def start(
    config: TrainConfig, prepared: Path, folder: Path, features: FeatureNetworks, init: Path | None = None
) -> Run:
    return open_run(config, prepared, folder, features, World(), init)


def test_resuming_equals_not_stopping(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    whole = start(tiny_config, prepared, tmp_path / "whole", features).train()
    start(tiny_config, prepared, tmp_path / "parts", features).train(max_steps=2)
    again = start(tiny_config, prepared, tmp_path / "parts", features)
    assert again.state.step == 2
    parts = again.train()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for (name, a), b in zip(whole.networks.state_dict().items(), parts.networks.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(whole.ema.parameters(), parts.ema.parameters(), strict=True):
        assert torch.equal(a, b)
    terms = set(losses(tmp_path / "whole")[2])
    for term in ("perceptual", "adversarial", "sync", "contrastive", "pyramid_l1", "feature_matching", "rate", "D"):
        assert f"loss/{term}" in terms
    assert "reg/r1_D" in terms
    assert "reg/r1_D_mouth" in terms


def test_accumulated_parts_give_the_same_step(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    results = []
    for accumulate in (1, 2):
        config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, accumulate=accumulate))
        run = start(config, prepared, tmp_path / f"a{accumulate}", features)
        batch = Sampler(run.clips, run.state.persons, config).batch(0)
        phase = phase_at(config, 0, 0.0, torch.device("cpu"))
        results.append((train_step(run.state, features, batch, phase, config, World()), run.state.networks))
    for name, value in results[0][0].items():
        assert results[1][0][name].item() == pytest.approx(value.item(), rel=1e-4), name


def test_losses_fall(tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks) -> None:
    train = dataclasses.replace(tiny_config.train, steps=30, gan_from=1.0, lr_generator=6e-3)
    loss = LossConfig(perceptual=0.0, adversarial=0.0, sync=0.0, contrastive=0.0, pyramid_l1=1.0)
    config = dataclasses.replace(tiny_config, train=train, loss=loss)
    start(config, prepared, tmp_path, features).train()
    values = [row["loss/pyramid_l1"] for row in rows(tmp_path) if "loss/pyramid_l1" in row]
    assert sum(values[-5:]) < 0.6 * sum(values[:5])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    start(tiny_config, prepared, tmp_path, features).train(max_steps=2)
    kept = latest_checkpoint(tmp_path / "checkpoints")
    run = start(tiny_config, prepared, tmp_path, features)
    with torch.no_grad():
        run.state.networks.faces.generator.synthesis.constant.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"step 2: loss/.* is not finite.*--train\.lr") as caught:
        run.train()
    assert caught.value.step == 2
    assert latest_checkpoint(tmp_path / "checkpoints") == kept
    assert start(tiny_config, prepared, tmp_path, features).state.step == 2


class DeferringWorld(World):
    """As on a GPU: nobody waits for a loss at each step, it is looked at later."""

    @property
    def reads_are_free(self) -> bool:
        return False


class InterruptedWorld(DeferringWorld):
    """Ctrl-C between a step and what is due after it."""

    def agree(self, value: float) -> float:
        raise KeyboardInterrupt


@pytest.mark.parametrize("world", [DeferringWorld(), InterruptedWorld()])
def test_what_is_looked_at_late_is_still_looked_at_before_a_checkpoint(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks, world: World
) -> None:
    rarely = dataclasses.replace(tiny_config.run, log_every=100, checkpoint_every=100, checkpoint_minutes=1e9)
    config = dataclasses.replace(tiny_config, run=rarely)
    start(config, prepared, tmp_path, features).train(max_steps=1)
    kept = latest_checkpoint(tmp_path / "checkpoints")
    run = open_run(config, prepared, tmp_path, features, world)
    with torch.no_grad():
        run.state.networks.faces.generator.synthesis.constant.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"step 1: loss/.* is not finite"):
        run.train()
    assert latest_checkpoint(tmp_path / "checkpoints") == kept
    assert start(config, prepared, tmp_path, features).state.step == 1


def test_weights_that_are_not_finite_are_not_kept_even_if_no_loss_has_shown_it(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    start(tiny_config, prepared, tmp_path, features).train(max_steps=1)
    run = start(tiny_config, prepared, tmp_path, features)
    with torch.no_grad():  # as after a gradient that overflows; the mapping is not drawn through
        run.state.networks.faces.generator.mapping.mean_latent.fill_(float("inf"))
    with pytest.raises(CheckpointWriteError, match=r"mean_latent holds NaN or infinity.*step_00000001.*--train\.lr"):
        run.train(max_steps=1)
    assert start(tiny_config, prepared, tmp_path, features).state.step == 1


def test_a_full_disk_stops_the_run_and_keeps_the_last_checkpoint(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    start(tiny_config, prepared, tmp_path, features).train(max_steps=2)
    kept = latest_checkpoint(tmp_path / "checkpoints")
    assert kept is not None
    run = start(tiny_config, prepared, tmp_path, features)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # writing past it fails as on a full disk
    try:
        with pytest.raises(CheckpointWriteError, match=rf"step 4.*the last good one is {kept.name}"):
            run.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert load_checkpoint(kept).meta["step"] == 2
    assert not list((tmp_path / "checkpoints").glob(".partial*"))


def test_another_model_in_the_folder_is_refused(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    start(tiny_config, prepared, tmp_path, features).train(max_steps=1)
    other = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, channel_max=8))
    with pytest.raises(CheckpointMismatchError, match=r"model\.channel_max: expected 8, got 16"):
        start(other, prepared, tmp_path, features)


def test_a_stage_starts_from_another_run(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    first = start(tiny_config, prepared, tmp_path / "first", features).train(max_steps=2)
    init = latest_checkpoint(tmp_path / "first" / "checkpoints")
    tuned = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, freeze_encoders=True))
    run = start(tuned, prepared, tmp_path / "second", features, init)
    averaged = first.ema.faces.audio_encoder.project[0].weight
    assert torch.equal(run.state.networks.faces.audio_encoder.project[0].weight, averaged)
    constant = run.state.networks.faces.generator.synthesis.constant.detach().clone()
    run.train(max_steps=1)
    assert torch.equal(run.state.networks.faces.audio_encoder.project[0].weight, averaged)
    assert not torch.equal(run.state.networks.faces.generator.synthesis.constant, constant)


def test_schedule_by_time_and_steps(tiny_config: TrainConfig) -> None:
    train = dataclasses.replace(tiny_config.train, steps=100, warmup_steps=10, decay_from=0.5, small_until=0.3)
    train = dataclasses.replace(train, gan_from=0.4, gan_ramp=0.2, straight_through_from=0.8)
    config = dataclasses.replace(tiny_config, train=train)
    assert progress(config, 50, 1e9) == 0.5
    timed = dataclasses.replace(config, train=dataclasses.replace(config.train, minutes=10.0))
    assert progress(timed, 10, 300) == 0.5
    assert learning_rate_factor(config, 4, 0.04) == 0.5
    assert learning_rate_factor(config, 75, 0.75) == pytest.approx(0.5)
    cpu = torch.device("cpu")
    assert phase_at(config, 10, 0.1, cpu).resolution_px == 16
    assert phase_at(config, 10, 0.1, cpu).gan_weight == 0
    assert phase_at(config, 50, 0.5, cpu).gan_weight == pytest.approx(0.5)
    assert phase_at(config, 90, 0.9, cpu).straight_through
    assert phase_at(config, 90, 0.9, cpu).regularise
    assert not phase_at(config, 91, 0.91, cpu).regularise


def test_resolution_grows_and_windows_come_at_the_end(tiny_config: TrainConfig) -> None:
    train = dataclasses.replace(tiny_config.train, quarter_until=0.2, small_until=0.4, window_px=64, window_share=0.7)
    model = dataclasses.replace(tiny_config.model, resolution_px=256)
    config = dataclasses.replace(tiny_config, train=train, model=model)
    cpu = torch.device("cpu")
    for done, side in ((0.1, 64), (0.3, 128), (0.5, 256)):
        phases = [phase_at(config, step, done, cpu) for step in range(400)]
        assert {p.resolution_px for p in phases} == {side}
        windows = [p.window for p in phases if p.window is not None]
        assert len(windows) / 400 == pytest.approx(0.7, abs=0.08) if side == 256 else not windows
    places = [(w.top, w.left) for w in windows]
    assert min(min(p) for p in places) == 0
    assert max(max(p) for p in places) == 48
    assert {(w.coarse_px, w.size) for w in windows} == {(64, 16)}
    # Corners get their share: thrown without overhang each would be hit once in 49 * 49 throws.
    assert sum(p == (0, 0) for p in places) >= 2


def test_style_layers_have_a_rate_of_their_own(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    train = dataclasses.replace(tiny_config.train, lr_generator=1e-2, lr_styles=1e-5, warmup_steps=0)
    run = start(dataclasses.replace(tiny_config, train=train), prepared, tmp_path, features)
    networks = run.state.networks
    before = {n: p.detach().clone() for n, p in networks.named_parameters()}
    run.train(max_steps=1)
    moved = {n: float((p - before[n]).abs().max().detach()) for n, p in networks.named_parameters()}
    styles = {n: m for n, m in moved.items() if ".affine." in n or n.startswith("identities.")}
    filters = {n: m for n, m in moved.items() if n.endswith((".conv.weight", ".layer.bias"))}
    # A first step of Adam moves every weight that has a gradient by its rate, divided by sqrt(1 - beta1) at most.
    assert 0 < max(styles.values()) < 2e-5
    assert max(filters.values()) > 5e-3
    in_groups = sum(len(g["params"]) for g in run.state.optimizer_g.param_groups)
    critics = len(networks.critic_parameters())
    assert in_groups == len(list(networks.parameters())) - critics


def test_windows_train_and_resume(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    train = dataclasses.replace(tiny_config.train, window_px=32, window_share=0.5)
    model = dataclasses.replace(tiny_config.model, resolution_px=64, learned_noise=True)
    loss = dataclasses.replace(tiny_config.loss, mouth_adversarial=0.0, band_energy=0.5, squared=0.5)
    config = dataclasses.replace(tiny_config, train=train, model=model, loss=loss)
    whole = start(config, prepared, tmp_path / "whole", features).train()
    start(config, prepared, tmp_path / "parts", features).train(max_steps=2)
    parts = start(config, prepared, tmp_path / "parts", features).train()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for (name, a), b in zip(whole.networks.state_dict().items(), parts.networks.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    terms = [row for row in losses(tmp_path / "whole") if "loss/total" in row]
    assert {"loss/D" in row for row in terms} == {True, False}
    assert all("loss/band_energy" in row and "loss/squared" in row for row in terms)


def test_small_pictures_first(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, small_until=0.5))
    start(config, prepared, tmp_path, features).train()
    assert "loss/D" not in losses(tmp_path)[0]
    assert "loss/D" in losses(tmp_path)[3]


def test_samples_and_validation_are_written(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    run_section = dataclasses.replace(tiny_config.run, sample_every=2, validate_every=2, validate_clips=1)
    config = dataclasses.replace(tiny_config, run=run_section)
    start(config, prepared, tmp_path, features).train(max_steps=2)
    assert (tmp_path / "samples" / "step_00000002.png").stat().st_size > 0
    assert (tmp_path / "samples" / "step_00000002.mp4").stat().st_size > 0
    validation = next(row for row in rows(tmp_path) if "val/psnr" in row)
    assert {"val/ssim", "val/sharpness", "val/mouth_lmd", "val/audio_psnr"} <= set(validation)


def test_identity_encoder_and_offsets_train(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    model = dataclasses.replace(tiny_config.model, identity="encoder", layer_offsets=True)
    config = dataclasses.replace(tiny_config, model=model)
    run = start(config, prepared, tmp_path, features)
    before = {n: p.detach().clone() for n, p in run.state.networks.identities.named_parameters()}
    run.train(max_steps=2)
    for name, parameter in run.state.networks.identities.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_ema_moves_slowly_and_keeps_no_critic(tiny_config: TrainConfig, prepared: Path, tmp_path: Path) -> None:
    clips, _ = open_folder(
        prepared, resolution_px=32, train_split="train", val_split="val", max_clips=0, cache_gb=1, cache_folder=tmp_path
    )
    state = new_state(tiny_config, clips.persons, torch.device("cpu"))
    assert state.ema.discriminator is None
    assert state.networks.discriminator is not None
    assert clips.persons == ["person0", "person1"]
