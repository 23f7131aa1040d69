"""Weights on disk: whole, verified, versioned; damage and mismatch are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bounded_child import refusals

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.image_encoder import ImageEncoder
from talkface_core.face.networks import FaceNetworks, seeded_networks
from talkface_core.interfaces import FaceIdentity
from talkface_core.style.path import DEFAULT_STYLE_SETTINGS, StyleSettings
from talkface_core.style.tables import fit_style_tables, synthetic_tracks
from talkface_core.weights import CONFIG_NAME, FaceWeights, load_face_weights, save_face_weights

CONFIG = GeneratorConfig(resolution_px=16, latent_dim=64, channel_base=128, channel_max=16, mapping_layers=2)


def weights(seed: int = 0) -> FaceWeights:
    offsets = np.full((CONFIG.num_layers, 64), 0.25, np.float32)
    identity = FaceIdentity(np.linspace(-1, 1, 64, dtype=np.float32), offsets)
    tables = fit_style_tables(synthetic_tracks(3)[:3])
    notes = {"licence": "test"}
    return FaceWeights(name="t", networks=seeded_networks(CONFIG, seed), tables=tables, identity=identity, notes=notes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_face_weights(folder, weights(), half=False, shard_bytes=4_000_000)
    return folder


def copy_of(saved: Path, to: Path) -> Path:
    to.mkdir()
    for path in saved.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_round_trip_is_exact_and_shards_stay_small(saved: Path) -> None:
    original, loaded = weights(), load_face_weights(saved)
    for (name, a), b in zip(original.networks.state_dict().items(), loaded.networks.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert loaded.tables == original.tables
    assert loaded.identity is not None
    assert original.identity is not None
    np.testing.assert_array_equal(loaded.identity.z, original.identity.z)
    assert loaded.identity.layer_offsets is not None
    np.testing.assert_array_equal(loaded.identity.layer_offsets, original.identity.layer_offsets)
    assert dict(loaded.notes) == {"licence": "test"}
    assert not loaded.networks.training
    assert len(loaded.sha256) == 64
    sizes = [p.stat().st_size for p in saved.glob("*.safetensors")]
    assert len(sizes) >= 2
    assert max(sizes) <= 4_000_000
    assert load_face_weights(saved / "config.json").sha256 == loaded.sha256


def test_an_image_encoder_with_offsets_goes_along(tmp_path: Path) -> None:
    encoder = ImageEncoder(CONFIG.latent_dim, num_layers=CONFIG.num_layers)
    assert encoder.head is not None
    torch.nn.init.normal_(encoder.head.offsets.weight)
    save_face_weights(tmp_path, dataclasses.replace(weights(), image_encoder=encoder), half=False)
    loaded = load_face_weights(tmp_path).image_encoder
    assert loaded is not None
    pictures = torch.rand(1, 3, 64, 64)
    offsets = loaded(pictures).layer_offsets
    assert offsets is not None
    assert torch.equal(offsets, encoder(pictures).layer_offsets)


def test_how_frames_are_looked_at_goes_along(saved: Path, tmp_path: Path) -> None:
    # As always: nothing is said, and that means covered and not centred.
    assert "style_settings" not in json.loads((saved / "config.json").read_text())
    assert load_face_weights(saved).networks.style_settings == DEFAULT_STYLE_SETTINGS == StyleSettings()
    for settings in (StyleSettings(mask_mouth=False), StyleSettings(center=True)):
        networks = FaceNetworks(CONFIG, settings)
        networks.load_state_dict(weights().networks.state_dict())
        digest = save_face_weights(tmp_path, dataclasses.replace(weights(), networks=networks), half=False)
        loaded = load_face_weights(tmp_path)
        assert loaded.networks.style_settings == settings
        assert loaded.sha256 == digest != load_face_weights(saved).sha256


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"mask_mouth": True},
        {"mask_mouth": 1, "center": False},
        {"mask_mouth": True, "center": False, "blur": True},
    ],
)
def test_unknown_ways_to_look_are_refused(saved: Path, tmp_path: Path, stored: Any) -> None:
    folder = copy_of(saved, tmp_path / "w")
    edit_config(lambda config: config.update(style_settings=stored))(folder)
    with pytest.raises(WeightsError, match="style_settings must hold true or false for each of center, mask_mouth"):
        load_face_weights(folder)


def test_an_image_encoder_goes_along(tmp_path: Path) -> None:
    given = dataclasses.replace(weights(), image_encoder=ImageEncoder(CONFIG.latent_dim))
    save_face_weights(tmp_path, given, half=False)
    loaded = load_face_weights(tmp_path).image_encoder
    assert given.image_encoder is not None
    assert loaded is not None
    pictures = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(pictures).z, given.image_encoder(pictures).z)
    assert not loaded.training
    assert load_face_weights(tmp_path).networks.state_dict().keys() == given.networks.state_dict().keys()
    assert given.image_encoder.out.bias is not None
    torch.nn.init.constant_(given.image_encoder.out.bias, float("inf"))
    save_face_weights(tmp_path, given)
    with pytest.raises(WeightsError, match=r"out\.bias holds NaN or infinity"):
        load_face_weights(tmp_path)


def test_half_precision_halves_the_file_and_stays_close(saved: Path, tmp_path: Path) -> None:
    digest = save_face_weights(tmp_path, weights())
    loaded = load_face_weights(tmp_path)
    assert loaded.sha256 == digest != load_face_weights(saved).sha256
    total = sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert total < 0.55 * sum(p.stat().st_size for p in saved.glob("*.safetensors"))
    for name, tensor in weights().networks.state_dict().items():
        torch.testing.assert_close(loaded.networks.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_saving_again_replaces_the_model_and_leaves_no_old_shards(tmp_path: Path) -> None:
    save_face_weights(tmp_path, weights(0))
    first = load_face_weights(tmp_path).sha256
    save_face_weights(tmp_path, weights(1))
    assert load_face_weights(tmp_path).sha256 != first
    listed = {s["name"] for s in json.loads((tmp_path / "config.json").read_text())["shards"]}
    assert {p.name for p in tmp_path.iterdir()} == listed | {"config.json"}


def edit_config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        del config["sha256"]  # of a writer that knows what it does
        change(config)
        path.write_text(json.dumps(config))

    return apply


def flip_a_byte(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_digit(folder: Path) -> None:
    path = folder / "config.json"
    text = path.read_text()
    at = text.index("anchor_every") + 15
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


DAMAGE: dict[str, tuple[Callable[[Path], object], type[WeightsError], str]] = {
    "flipped bit": (flip_a_byte, WeightsError, "sha256 is not the expected"),
    "truncated": (truncate, WeightsError, "1000 bytes, expected"),
    "shard missing": (lambda f: next(f.glob("*.safetensors")).unlink(), WeightsError, "cannot be read"),
    "config missing": (lambda f: (f / "config.json").unlink(), WeightsError, "check the path"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), WeightsError, "damaged weights configuration"),
    "other program": (edit_config(lambda c: c.update(format="x")), WeightsError, "not the configuration"),
    "other version": (edit_config(lambda c: c.update(code_version=99)), CheckpointMismatchError, "expected 1, got 99"),
    "a table's digit": (flip_a_digit, WeightsError, "its sha256 is not the one it holds"),
    "field missing": (edit_config(lambda c: c.pop("generator")), WeightsError, "'generator' is missing"),
    "unknown size": (edit_config(lambda c: c["generator"].update(depth=3)), WeightsError, "depth"),
    "odd size": (edit_config(lambda c: c["generator"].update(resolution_px=17)), WeightsError, "power of two"),
    "other size": (
        edit_config(lambda c: c["generator"].update(resolution_px=32)),
        CheckpointMismatchError,
        "identity offsets",
    ),
    "path in a shard's name": (
        edit_config(lambda c: c["shards"][0].update(name="../x.safetensors")),
        WeightsError,
        "plain safetensors file name",
    ),
    "no shards": (edit_config(lambda c: c.update(shards=[])), WeightsError, "0 shards"),
    "bad tables": (edit_config(lambda c: c["style_tables"].update(anchor_every=0)), WeightsError, "anchor_every"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, saved: Path, tmp_path: Path) -> None:
    damage, error, message = DAMAGE[case]
    folder = copy_of(saved, tmp_path / "w")
    damage(folder)
    with pytest.raises(error, match=message):
        load_face_weights(folder)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    broken = weights()
    broken.networks.style_scale[0] = float("nan")
    save_face_weights(tmp_path, broken)
    with pytest.raises(WeightsError, match="style_scale holds NaN"):
        load_face_weights(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    save_face_weights(tmp_path, weights())
    edit_config(lambda c: c["generator"].update(mapping_layers=3))(tmp_path)
    with pytest.raises(CheckpointMismatchError, match=r"none named 'generator\.mapping\.layers\.2"):
        load_face_weights(tmp_path)


def test_absurd_sizes_are_refused_within_a_second_and_200_mb(saved: Path, tmp_path: Path) -> None:
    bombs: list[dict[str, int]] = [
        {"mapping_layers": 10**9},
        {"latent_dim": 2**60},
        {"channel_base": 2**60, "channel_max": 2**60},
        {"resolution_px": 2**40},
        # Within every limit, and 2 GB that no shard fills.
        {"resolution_px": 1024, "latent_dim": 1024, "channel_base": 65_536, "channel_max": 1024, "mapping_layers": 32},
    ]
    calls = []
    for index, sizes in enumerate(bombs):
        folder = copy_of(saved, tmp_path / str(index))
        config = json.loads((folder / "config.json").read_text())
        config["generator"] |= sizes
        del config["sha256"]  # as a file that was made so, instead of one that was damaged
        (folder / "config.json").write_text(json.dumps(config))
        calls.append(f"load_face_weights(Path({str(folder)!r}))")
    imports = "from pathlib import Path\nfrom talkface_core.weights import load_face_weights\n"
    messages = refusals(imports + "from talkface_core.errors import CoreError", calls, "CoreError")
    assert all("config.json" in message for message in messages)


def test_a_shard_is_listed_once(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["shards"] += config["shards"][:1]
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="is listed twice"):
        load_face_weights(folder)


def test_weights_say_what_they_were_trained_against(tmp_path: Path) -> None:
    plain = save_face_weights(tmp_path / "plain", weights())
    assert "trained_against" not in json.loads((tmp_path / "plain" / CONFIG_NAME).read_text())
    judged = dataclasses.replace(weights(), trained_against=("efficientnet_lite0", "face_recognition"))
    assert save_face_weights(tmp_path / "judged", judged) != plain
    assert load_face_weights(tmp_path / "judged").trained_against == ("efficientnet_lite0", "face_recognition")
    assert load_face_weights(tmp_path / "plain").trained_against == ()
    config = json.loads((tmp_path / "judged" / CONFIG_NAME).read_text())
    del config["sha256"]
    (tmp_path / "judged" / CONFIG_NAME).write_text(json.dumps({**config, "trained_against": "everything"}))
    with pytest.raises(WeightsError, match="'trained_against' is not a list of names"):
        load_face_weights(tmp_path / "judged")
