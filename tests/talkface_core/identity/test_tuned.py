"""A tuned generator through the bytes of an identity: drawn as before, by the model that a call uses."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.errors import TunedPartError
from talkface_core.face.generator import Generator, SynthesisLayer
from talkface_core.face.model import TalkfaceModel, tiny_face_model
from talkface_core.identity.packed import pack_tensors
from talkface_core.identity.tuned import pack_tuned, read_tuned


@pytest.fixture(scope="module")
def tiny() -> TalkfaceModel:
    return tiny_face_model()


def tuned_generator(base: Generator) -> Generator:
    """Low-rank changes of affines, as tuning makes them, and changes of everything small."""
    tuned = copy.deepcopy(base)
    torch.manual_seed(5)
    with torch.no_grad():
        for module in tuned.synthesis.modules():
            if isinstance(module, SynthesisLayer):
                if module.noise.shape[-1] <= 16:
                    module.learn_noise()
                    module.noise += 0.1 * torch.randn_like(module.noise)
                weight = module.conv.affine.weight
                weight += 0.1 * torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1])
                module.bias += 0.1 * torch.randn_like(module.bias)
    return tuned.eval().requires_grad_(False)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b.astype(float)).mean())))


def test_a_tuned_face_is_drawn_from_its_sections(tiny: TalkfaceModel) -> None:
    base = tiny.weights.networks.generator
    tuned = tuned_generator(base)
    sections = pack_tuned(base, tuned)
    weights = replace(tiny.weights, networks=copy.copy(tiny.weights.networks))
    weights.networks._modules = {**tiny.weights.networks._modules, "generator": tuned}
    plain = tiny.default_identity()
    audio = np.random.default_rng(0).normal(0, 0.1, 8192).astype(np.float32)

    def draw(model: TalkfaceModel, *parts: bytes) -> np.ndarray:
        return model.renderer(replace(plain, tuned=parts), runtime="torch-cpu").render(audio, None)

    exact, untuned = draw(TalkfaceModel(weights)), draw(tiny)
    full, detail = draw(tiny, sections.detail, sections.weights), draw(tiny, sections.detail)
    assert psnr_db(full, exact) > 40
    assert psnr_db(untuned, exact) < psnr_db(detail, exact) < psnr_db(full, exact)
    assert np.array_equal(draw(tiny), untuned)  # the model itself is as it was


def test_sizes_follow_the_tolerance(tiny: TalkfaceModel) -> None:
    base = tiny.weights.networks.generator
    tuned = tuned_generator(base)
    dense, short = pack_tuned(base, tuned, tolerance=0), pack_tuned(base, tuned)
    assert dense.detail == short.detail
    assert len(short.weights) < len(dense.weights) / 4


def test_nothing_tuned_is_nothing_sent(tiny: TalkfaceModel) -> None:
    base = tiny.weights.networks.generator
    sections = pack_tuned(base, copy.deepcopy(base))
    assert (sections.detail, sections.weights) == (b"", b"")
    assert read_tuned(base, (b"", b"")) == {}


def test_a_tensor_may_come_once(tiny: TalkfaceModel) -> None:
    part = pack_tensors({"blocks.0.layer.bias": np.ones(32, np.float32)})
    base = tiny.weights.networks.generator
    assert read_tuned(base, (part,))["blocks.0.layer.bias"].shape == (32,)
    with pytest.raises(TunedPartError, match=r"blocks.0.layer.bias comes twice"):
        read_tuned(base, (part, part))


def test_damaged_parts_leave_the_face_that_is_drawn(tiny: TalkfaceModel) -> None:
    broken = replace(tiny.default_identity(), tuned=(b"\x01\x00\x01nothing",))
    with pytest.raises(TunedPartError):
        tiny.renderer(broken, runtime="torch-cpu")
    with pytest.raises(TunedPartError):
        tiny.networks_of(broken)


def test_parts_of_another_size_are_refused(tiny: TalkfaceModel) -> None:
    part = pack_tensors({"blocks.0.layer.bias": np.ones(64, np.float32)})
    with pytest.raises(TunedPartError, match="bytes after the end"):
        read_tuned(tiny.weights.networks.generator, (part,))
