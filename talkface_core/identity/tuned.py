"""Tuned parts of a generator as two sections of an identity file: what is small, and the matrices of the affines.

Noise, biases and colours are a tenth of the bytes and give most of the likeness (docs/results/identity_sizes.md), so
they cross first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import TunedPartError
from talkface_core.face.generator import Generator
from talkface_core.face.personal import TunedParts, tunable_tensors, tuned_difference
from talkface_core.identity.packed import DEFAULT_TOLERANCE, pack_tensors, unpack_tensors

_AFFINE = ".conv.affine.weight"


@dataclass(frozen=True, slots=True)
class TunedSections:
    """The bytes of both sections; empty where nothing was tuned."""

    detail: bytes
    """Noise, biases, colours; 8 bits a value."""
    weights: bytes
    """Affines; low rank where that is shorter."""


def pack_tuned(base: Generator, tuned: Generator, *, tolerance: float = DEFAULT_TOLERANCE) -> TunedSections:
    """What tuning changed, as bytes.

    Args:
        tolerance: see `pack_tensors`.

    Raises:
        ValueError: it changed what an identity does not carry, or the generators differ in size.
    """
    difference = tuned_difference(base, tuned)
    weights = {name: part for name, part in difference.items() if name.endswith(_AFFINE)}
    detail = {name: part for name, part in difference.items() if name not in weights}
    return TunedSections(
        pack_tensors(detail, tolerance=0) if detail else b"",
        pack_tensors(weights, tolerance=tolerance) if weights else b"",
    )


def read_tuned(generator: Generator, sections: Sequence[bytes]) -> TunedParts:
    """The parts in sections from anybody, checked against the generator that they are added to.

    Raises:
        TunedPartError: they are damaged, or were made for a generator of another size.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tunable_tensors(generator.synthesis).items()}
    found: dict[str, NDArray[np.float32]] = {}
    for section in filter(None, sections):
        part = unpack_tensors(section, shapes)
        if again := found.keys() & part.keys():
            raise TunedPartError(f"packed tensors: {min(again)} comes twice")
        found |= part
    return found
