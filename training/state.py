"""The state of a run: networks, their running average, optimisers and counters; to a checkpoint and back, exactly."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.interfaces import STYLE_VALUES
from talkface_core.module_fill import fill_module
from training.checkpoint import Checkpoint, trained_against
from training.config import TrainConfig
from training.networks import TrainNetworks

_FRESH_ENCODER_SCALE = 0.1
_MAPPING = "faces.generator.mapping."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_EARLIER = "use an earlier checkpoint"


@dataclass(slots=True)
class TrainState:
    """Everything that changes while training."""

    networks: TrainNetworks
    ema: TrainNetworks
    """Running average of all but the discriminators; what samples, validation and export use."""
    optimizer_g: torch.optim.Adam
    """G and encoders."""
    optimizer_d: torch.optim.Adam | None
    """Discriminators."""
    persons: list[str]
    """Rows of the identity table."""
    step: int = 0
    """Optimiser steps done."""
    images: int = 0
    """Frames drawn, over all processes."""
    elapsed_s: float = 0.0
    """Wall time of the run so far, over all resumptions."""
    rate_scale: Tensor = field(default_factory=lambda: torch.ones(STYLE_VALUES))
    """[V] running Laplace scale of style innovations, in steps."""
    trained_against: frozenset[str] = frozenset()
    """Networks that were losses, here or in what this run started from."""


def new_state(config: TrainConfig, persons: list[str], device: torch.device) -> TrainState:
    """Networks as the seed draws them, fresh optimisers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        networks = TrainNetworks(config, len(persons))
    networks.to(device)
    # Channels-last is what the convolutions' fast paths want on CPU and GPU alike.
    networks = networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(networks).requires_grad_(False).eval()
    ema.discriminator = ema.mouth_discriminator = None
    optimizer_g, optimizer_d = make_optimizers(config, networks)
    return TrainState(
        networks,
        ema,
        optimizer_g,
        optimizer_d,
        persons,
        rate_scale=torch.ones(STYLE_VALUES, device=device),
        trained_against=config.trained_against,
    )


def make_optimizers(config: TrainConfig, networks: TrainNetworks) -> tuple[torch.optim.Adam, torch.optim.Adam | None]:
    """Adam for G and encoders, Adam for the discriminators; frozen parts get no gradients."""
    train = config.train
    if train.freeze_generator:
        networks.faces.generator.requires_grad_(False)
    if train.freeze_encoders:
        for parameter in networks.encoder_parameters():
            parameter.requires_grad_(False)
    lr_generator = train.lr_generator or train.lr
    groups: list[dict[str, Any]] = [
        {"params": networks.filter_parameters(), "base_lr": lr_generator},
        {"params": networks.style_layer_parameters(), "base_lr": train.lr_styles or lr_generator},
        {"params": networks.audio_parameters(), "base_lr": train.lr_audio or train.lr},
        {"params": networks.style_parameters(), "base_lr": train.lr},
    ]
    groups = [{**g, "lr": g["base_lr"]} for g in groups]
    betas = (train.beta1, train.beta2)
    optimizer_g = torch.optim.Adam(groups, betas=betas, weight_decay=train.weight_decay, eps=1e-8)
    critics = networks.critic_parameters()
    if not critics:
        return optimizer_g, None
    # Lazy regularisation: n - 1 of n steps lack R1, so rate and moments shrink alike (StyleGAN2, appendix B).
    c = config.loss.r1_interval / (config.loss.r1_interval + 1)
    base = (train.lr_discriminator or train.lr) * c
    group = [{"params": critics, "base_lr": base, "lr": base}]
    return optimizer_g, torch.optim.Adam(group, betas=(betas[0] ** c, betas[1] ** c), eps=1e-8)


@torch.no_grad()
def update_ema(state: TrainState, decay: float) -> None:
    """Move the average towards the weights; quicker at first, so that the start is forgotten."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    current = dict(state.networks.named_parameters())
    averaged = list(state.ema.named_parameters())
    torch._foreach_lerp_([p for _, p in averaged], [current[n].detach() for n, _ in averaged], 1 - decay)


def set_learning_rate(state: TrainState, factor: float) -> None:
    """Scale every group's base rate."""
    for optimizer in (state.optimizer_g, state.optimizer_d):
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor


def to_checkpoint(state: TrainState, config: TrainConfig, *, with_moments: bool = True) -> Checkpoint:
    """Tensors by path name and JSON counters."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("networks", state.networks), ("ema", state.ema)):
        tensors |= {f"{prefix}/{n}": t for n, t in module.state_dict().items()}
    tensors["rate_scale"] = state.rate_scale
    if with_moments:
        names = {id(p): n for n, p in state.networks.named_parameters()}
        for prefix, optimizer in _optimizers(state):
            for parameter, moments in optimizer.state.items():
                tensors |= {f"{prefix}/{names[id(parameter)]}/{k}": moments[k] for k in _MOMENTS}
    meta = {
        "step": state.step,
        "images": state.images,
        "elapsed_s": state.elapsed_s,
        "persons": state.persons,
        "model": dataclasses.asdict(config.model),
        "recipe": config.recipe,
        "has_moments": with_moments,
        "trained_against": sorted(state.trained_against),
    }
    return Checkpoint(tensors, meta)


def restore(state: TrainState, checkpoint: Checkpoint, where: str) -> None:
    """Continue from a checkpoint of the same run.

    Raises:
        CheckpointMismatchError: other persons, other tensors or other shapes.
        WeightsError: counters are missing.
    """
    meta = checkpoint.meta
    try:
        step, images, elapsed_s = int(meta["step"]), int(meta["images"]), float(meta["elapsed_s"])
        persons = [str(p) for p in meta["persons"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{where}: counters are missing or wrong ({error})") from error
    if persons != state.persons:
        raise CheckpointMismatchError(f"{where}: persons of the data", persons, state.persons)
    for prefix, module in (("networks", state.networks), ("ema", state.ema)):
        fill_module(module, checkpoint.under(prefix), f"{where}: {prefix}", _EARLIER)
    scale = checkpoint.tensors.get("rate_scale")
    if scale is not None and scale.shape == state.rate_scale.shape:
        state.rate_scale = scale.to(state.rate_scale)
    if meta.get("has_moments"):
        parameters = dict(state.networks.named_parameters())
        for prefix, optimizer in _optimizers(state):
            _restore_moments(optimizer, checkpoint.under(prefix), parameters, f"{where}: {prefix}")
    state.step, state.images, state.elapsed_s = step, images, elapsed_s
    state.trained_against |= trained_against(checkpoint.meta)


def initialise_from(state: TrainState, checkpoint: Checkpoint, where: str) -> None:
    """Start a new stage from another run's averaged weights; identities of new persons start at the mean of the old.

    Raises:
        CheckpointMismatchError: the networks differ.
    """
    source = checkpoint.under("ema")
    own = state.networks.state_dict()
    for name in ("identities.table", "identities.offsets"):
        if name in source and name in own and source[name].shape[1:] == own[name].shape[1:]:
            mean = source[name].mean(0, keepdim=True).expand_as(own[name])
            known = list(map(str, checkpoint.meta.get("persons", [])))
            rows = [source[name][known.index(p)] if p in known else mean[i] for i, p in enumerate(state.persons)]
            source[name] = torch.stack(rows)
    _start_encoder_at_table(source, own)
    if state.networks.config.model.learned_noise:
        _absorb_noise_strength(source)
    elif (checkpoint.meta.get("model") or {}).get("learned_noise", True):
        # Noise that was learned is a picture of one person's background; a folder of weights does not say whether.
        source |= {n: t for n, t in own.items() if n.endswith((".noise", ".noise_strength"))}
    # The mapping from random z is not trained here, and weights that ship hold next to none of it.
    source = {n: t for n, t in source.items() if not n.startswith(_MAPPING)}
    merged = {n: source.get(n, t) for n, t in own.items() if not n.startswith("identities.") or n in source}
    # Parts that a stage adds (a critic, another kind of identity) keep their fresh start; the face networks must fit.
    missing = [n for n in own if n.startswith("faces.") and not n.startswith(_MAPPING) and n not in source]
    if missing:
        raise CheckpointMismatchError(f"{where}: networks", f"a tensor {missing[0]}", "none")
    fill_module(state.networks, {**own, **merged}, where, _EARLIER)
    averaged = {n: t for n, t in state.networks.state_dict().items() if n in state.ema.state_dict()}
    state.ema.load_state_dict(averaged)
    state.trained_against |= trained_against(checkpoint.meta)


def _start_encoder_at_table(source: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """A fresh E_image gives every face the mean z of the start's table at first: a face, not fog."""
    table, weight, bias = "identities.table", "identities.encoder.out.weight", "identities.encoder.out.bias"
    if table in source and bias in own and bias not in source:
        source |= {n: t.clone() for n, t in own.items() if n.startswith("identities.encoder.")}
        source[bias] = source[table].mean(0)
        source[weight] = own[weight] * _FRESH_ENCODER_SCALE


def _absorb_noise_strength(tensors: dict[str, Tensor]) -> None:
    """Scale fixed noise by its strength, as `SynthesisNetwork.learn_noise` does; learned noise passes unchanged."""
    for name in [n for n in tensors if n.endswith(".noise")]:
        strength = tensors[f"{name}_strength"]
        tensors[name], tensors[f"{name}_strength"] = tensors[name] * strength, torch.ones_like(strength)


def _optimizers(state: TrainState) -> list[tuple[str, torch.optim.Adam]]:
    pairs = [("adam_g", state.optimizer_g), ("adam_d", state.optimizer_d)]
    return [(name, optimizer) for name, optimizer in pairs if optimizer is not None]


def _restore_moments(
    optimizer: torch.optim.Adam, tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], where: str
) -> None:
    optimizer.state.clear()
    for name in {n.rpartition("/")[0] for n in tensors}:
        parameter = parameters.get(name)
        moments = {k: tensors.get(f"{name}/{k}") for k in _MOMENTS}
        if parameter is None or any(v is None for v in moments.values()):
            raise CheckpointMismatchError(f"{where}/{name}", "a parameter with three moments", "something else")
        for key, value in moments.items():
            assert value is not None
            if key != "step" and value.shape != parameter.shape:
                raise CheckpointMismatchError(f"{where}/{name}/{key}", list(parameter.shape), list(value.shape))
            if key != "step":
                # The moments' memory layout decides the order of sums: keep the parameter's.
                value = torch.empty_like(parameter).copy_(value)
            optimizer.state[parameter][key] = value
