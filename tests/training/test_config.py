"""Configs: recipes as the issue wants them, overrides, JSON, and errors that name the field and a fix."""

from __future__ import annotations

import json

import pytest

from training.config import LossConfig, ModelConfig, TrainConfig, TrainSection
from training.config_values import ConfigError, apply_overrides, describe_options, from_dict, to_dict
from training.recipes import ABLATIONS, RECIPES, get_recipe, paper


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_json(name: str) -> None:
    config = get_recipe(name)
    assert config.recipe == name
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_paper_recipe_has_the_papers_settings_and_no_additions() -> None:
    config = paper()
    assert (config.train.lr, config.train.weight_decay, config.train.batch_size) == (1e-4, 1e-6, 32)
    assert (config.train.beta1, config.train.beta2) == (0.9, 0.999)
    assert config.loss.perceptual_backend == "vgg16"
    for addition in ("pyramid_l1", "laplacian", "feature_matching", "mouth_adversarial", "temporal", "rate"):
        assert getattr(config.loss, addition) == 0
    for term in ("perceptual", "adversarial", "sync", "contrastive"):
        assert getattr(config.loss, term) > 0
    assert config.loss.sync_mouth_weight == config.loss.sync_jaw_weight == 1
    assert not config.loss.sync_gated
    assert config.audio.voices == 0
    assert not config.model.layer_offsets


def test_ablations_remove_what_they_name() -> None:
    config = get_recipe("person256")
    no_lips, no_video = ABLATIONS["lipsync"](config), ABLATIONS["videoref"](config)
    assert no_lips.loss.sync == no_lips.loss.contrastive == 0
    assert no_lips.style.enabled
    assert not no_video.style.enabled
    assert no_video.loss.sync == config.loss.sync


def test_overrides_change_what_they_name_only() -> None:
    config = apply_overrides(
        paper(), ["--train.lr", "2e-4", "--train.bf16=false", "--audio.opus_bps", "6000,8000", "--model.identity=table"]
    )
    assert config.train.lr == 2e-4
    assert config.train.bf16 is False
    assert config.audio.opus_bps == (6000, 8000)
    assert config.model.identity == "table"
    assert config.loss == paper().loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train.lrr", "1"], "did you mean train.lr"),
        (["--lr", "1"], "--lr: unknown option"),
        (["--train.lr"], "value is missing"),
        (["train.lr", "1"], "expected an option"),
        (["--train.lr", "fast"], "must be a number, not 'fast'"),
        (["--train.batch_size", "1.5"], "must be a whole number"),
        (["--train.bf16", "maybe"], "true or false"),
        (["--model.identity", "guess"], "table or encoder"),
        (["--train.lr", "-1"], "train.lr: must be 0 or more"),
        (["--train.batch_size", "5", "--train.accumulate", "2"], "train.accumulate: must divide"),
        (["--loss.temporal", "1", "--train.frames_per_clip", "1"], "--train.frames_per_clip 2"),
    ],
)
def test_wrong_overrides_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(get_recipe("debug_cpu"), arguments)
    assert message in str(caught.value)


def test_wrong_json_is_named() -> None:
    values = to_dict(paper())
    with pytest.raises(ConfigError, match="modle: unknown field; did you mean model"):
        from_dict({**values, "modle": {}})
    with pytest.raises(ConfigError, match=r"train\.lr: must be a number, not '1'"):
        from_dict({**values, "train": {"lr": "1"}})
    with pytest.raises(ConfigError, match=r"train\.steps: must be a whole number, not True"):
        from_dict({**values, "train": {"steps": True}})
    with pytest.raises(ConfigError, match="recipe: missing"):
        from_dict({})


def test_fields_refuse_nonsense_by_name() -> None:
    with pytest.raises(ValueError, match=r"model\.resolution_px: must be a power of two"):
        ModelConfig(resolution_px=100)
    with pytest.raises(ValueError, match=r"loss\.sync: must be 0 or more"):
        LossConfig(sync=-1.0)
    with pytest.raises(ValueError, match=r"loss\.vgg16_weights.*perceptual_backend landmarks"):
        LossConfig(perceptual_backend="vgg16")
    with pytest.raises(ValueError, match="nothing is left"):
        TrainSection(freeze_generator=True, freeze_encoders=True)
    with pytest.raises(ValueError, match="feature_matching: needs a discriminator"):
        TrainConfig(recipe="x", loss=LossConfig(adversarial=0.0, feature_matching=1.0))
    with pytest.raises(ValueError, match="'papre' is unknown; there are paper"):
        get_recipe("papre")


def test_every_option_is_described() -> None:
    options = dict(describe_options())
    assert options["--train.lr"] == "a number"
    assert "--audio.opus_bps" in options


NUMBERS = [name for name, kind in describe_options() if kind in ("a number", "a whole number")]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_no_field_can_mean_are_refused(name: str) -> None:
    for text in ("nan", "inf", "-inf", "1e30") if dict(describe_options())[name] == "a number" else ("9" * 20,):
        with pytest.raises(ConfigError, match=name):
            apply_overrides(get_recipe("debug_cpu"), [name, text])


def test_there_are_numbers_to_refuse() -> None:
    assert len(NUMBERS) > 60
