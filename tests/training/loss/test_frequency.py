"""Spectral losses against sums written out, and what they are meant to notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.loss.frequency import MASKING, VISIBLE, focal_frequency, watson_dft


def pictures(seed: int, side: int = 8, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) * 2 - 1


@pytest.mark.parametrize("side", [8, 7])
def test_focal_frequency_is_the_published_sum(side: int) -> None:
    real, fake = pictures(0, side), pictures(1, side)
    for n, got in enumerate(focal_frequency(real, fake).tolist()):
        expected = 0.0
        for channel in range(3):
            spectra = [np.fft.fft2(x[n, channel].numpy(), norm="ortho") for x in (real, fake)]
            distance = np.abs(spectra[0] - spectra[1])
            expected += float((distance / distance.max() * distance**2).mean()) / 3
        assert got == pytest.approx(expected, rel=1e-4)


def test_focal_frequency_has_no_gradient_through_its_weight_and_none_where_right() -> None:
    real, fake = pictures(0), pictures(1).requires_grad_()
    focal_frequency(real, fake).sum().backward()
    assert fake.grad is not None
    # d/dx of mean w |X - X̂|² with w fixed is 2/r² times the filtered difference.
    n, channel = 0, 1
    difference = np.fft.fft2((fake - real)[n, channel].detach().numpy(), norm="ortho")
    weight = np.abs(difference) / np.abs(difference).max()
    expected = 2 * np.fft.ifft2(weight * difference, norm="ortho").real / 64 / 3
    np.testing.assert_allclose(fake.grad[n, channel].numpy(), expected, atol=1e-5)
    same = real.clone().requires_grad_()
    focal_frequency(real, same).sum().backward()
    assert same.grad is not None
    assert float(same.grad.abs().max()) == 0


def test_watson_is_its_formula() -> None:
    real, fake = pictures(2, 16, 1), pictures(3, 16, 1)
    window = np.hanning(9)[:-1]
    frequencies = np.fft.fftfreq(8, 1 / 8)
    total, count = 0.0, 0
    for top in range(0, 9, 4):
        for left in range(0, 9, 4):
            amplitudes = []
            for x in (real, fake):
                luma = np.tensordot([0.299, 0.587, 0.114], x[0].numpy(), 1)[top : top + 8, left : left + 8]
                amplitudes.append(np.abs(np.fft.fft2(luma * np.outer(window, window), norm="ortho")))
            for u in range(8):
                for v in range(5):
                    t = VISIBLE * (1 + (frequencies[u] ** 2 + v**2) / 4)
                    seen = max(t, t ** (1 - MASKING) * amplitudes[0][u, v] ** MASKING)
                    total += (1 + ((amplitudes[0][u, v] - amplitudes[1][u, v]) / seen) ** 2) ** 0.5 - 1
                    count += 1
    assert float(watson_dft(real, fake)) == pytest.approx(total / count, rel=1e-3)


def test_watson_minds_a_lost_texture_more_than_a_moved_one() -> None:
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    moved, lost = noise.roll((1, 1), (2, 3)), torch.zeros_like(noise)
    assert float(watson_dft(noise, lost)) > 2 * float(watson_dft(noise, moved))
    assert float((noise - lost).square().mean()) < float((noise - moved).square().mean())
    assert float(watson_dft(noise, noise)) == 0
    assert watson_dft(noise[..., :4, :4], lost[..., :4, :4]).shape == (1,)
