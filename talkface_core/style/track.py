"""A style track: the talking style of an old video, taken once and played during calls (paper III.A's reference R).

Stored as safetensors: one tensor `values` [T, 16] float32, the frame rate and a sha256 as text in the metadata.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.interfaces import STYLE_VALUES
from talkface_core.sealed_arrays import read_sealed, sealed_bytes
from talkface_core.whole_file import write_whole

TRACK_FORMAT = "talkface-style-track-1"
MAX_TRACK_BYTES = 64 << 20
"""About 11 hours at 25 frames/s."""
MAX_FRAME_RATE = 240
_MAX_HEADER_BYTES = 4096
"""Of the one tensor and two words of metadata; safetensors itself would take 100 MB of JSON."""
_RATE = re.compile(r"(\d{1,9})/(\d{1,9})")
"""Nothing that `Fraction` would compute: 1e20000000 alone has twenty million digits."""


@dataclass(frozen=True, slots=True)
class StyleTrack:
    """Style values over time.

    Raises:
        ValueError: values are not [T >= 1, 16] finite float32, or the frame rate is not in 1..240.
    """

    values: NDArray[np.float32]
    """[T, 16] in sigma units, before quantisation."""
    frame_rate: Fraction
    """Vectors per second."""

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] != STYLE_VALUES or values.dtype != np.float32:
            raise ValueError(f"a style track is [T, {STYLE_VALUES}] float32; got {list(values.shape)} {values.dtype}")
        if not np.isfinite(values).all():
            raise ValueError("a style track must hold finite values")
        if not 1 <= self.frame_rate <= MAX_FRAME_RATE:
            raise ValueError(f"frame rate of a style track must be 1..{MAX_FRAME_RATE}; got {self.frame_rate}")

    @property
    def duration_s(self) -> float:
        return float(len(self.values) / self.frame_rate)

    def at(self, time_s: float, *, loop: bool = False) -> NDArray[np.float32]:
        """[16] values at a time, linear between vectors; before the start and after the end the nearest vector.

        Args:
            loop: continue past the end by playing back and forth, so that nothing jumps.
        """
        position = time_s * float(self.frame_rate)
        last = len(self.values) - 1
        if loop and last > 0:
            position = abs((position + last) % (2 * last) - last)
        position = min(max(position, 0.0), float(last))
        index = min(int(position), max(last - 1, 0))
        weight = np.float32(position - index)
        following = self.values[min(index + 1, last)]
        return ((1 - weight) * self.values[index] + weight * following).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the track; an existing file is replaced only once the new one is complete."""
        metadata = {"format": TRACK_FORMAT, "frame_rate": f"{self.frame_rate.numerator}/{self.frame_rate.denominator}"}
        write_whole(path, sealed_bytes({"values": self.values}, metadata))

    @classmethod
    def load(cls, path: Path) -> StyleTrack:
        """Read a track.

        Raises:
            WeightsError: the file is missing, too large, damaged, or not a style track; the message says which.
        """
        try:
            size = path.stat().st_size
            if size > MAX_TRACK_BYTES:
                raise WeightsError(f"{path}: {size} bytes is over {MAX_TRACK_BYTES}, not a style track")
            content = path.read_bytes()
            if int.from_bytes(content[:8], "little") > _MAX_HEADER_BYTES:
                raise WeightsError(f"{path}: its header is over {_MAX_HEADER_BYTES} bytes, not a style track")
            arrays, metadata = read_sealed(content)
            if metadata.get("format") != TRACK_FORMAT:
                raise WeightsError(f"{path}: not a style track of this version")
            return cls(arrays["values"], _frame_rate(metadata["frame_rate"]))
        except WeightsError:
            raise
        except OSError as error:
            raise WeightsError(f"{path}: cannot read the style track ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise WeightsError(f"{path}: damaged style track ({error})") from None


def _frame_rate(text: str) -> Fraction:
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"frame rate {text[:40]!r} is not a fraction of two whole numbers")
    return Fraction(int(match[1]), int(match[2]))
