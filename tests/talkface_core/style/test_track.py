"""Style tracks survive the disk and refuse what is not one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bounded_child import refusals
from safetensors.numpy import save as save_arrays
from safetensors.numpy import save_file

from talkface_core.errors import WeightsError
from talkface_core.style.track import TRACK_FORMAT, StyleTrack


def track() -> StyleTrack:
    return StyleTrack(np.arange(80, dtype=np.float32).reshape(5, 16), Fraction(30000, 1001))


def test_round_trip_keeps_values_and_the_exact_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    track().save(path)
    again = StyleTrack.load(path)
    np.testing.assert_array_equal(again.values, track().values)
    assert again.frame_rate == Fraction(30000, 1001)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_at_interpolates_holds_the_ends_and_plays_back_and_forth() -> None:
    t = StyleTrack(np.arange(3, dtype=np.float32)[:, None].repeat(16, 1), Fraction(25))
    first = [float(t.at(s)[0]) for s in (-1.0, 0.0, 0.02, 0.04, 0.08, 9.0)]
    assert first == pytest.approx([0, 0, 0.5, 1, 2, 2])
    looped = [float(t.at(0.04 * i, loop=True)[0]) for i in range(9)]
    assert looped == pytest.approx([0, 1, 2, 1, 0, 1, 2, 1, 0])
    single = StyleTrack(np.ones((1, 16), np.float32), Fraction(25))
    assert single.at(3.0, loop=True)[0] == 1


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        (np.zeros((0, 16), np.float32), 25),
        (np.zeros((4, 15), np.float32), 25),
        (np.zeros((4, 16), np.float64), 25),
        (np.full((4, 16), np.nan, np.float32), 25),
        (np.zeros((4, 16), np.float32), 0),
        (np.zeros((4, 16), np.float32), 500),
    ],
)
def test_wrong_content_is_refused(values: np.ndarray, rate: int) -> None:
    with pytest.raises(ValueError, match="style track"):
        StyleTrack(values, Fraction(rate))


def test_files_that_are_not_tracks_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError, match="cannot read"):
        StyleTrack.load(missing)
    other = tmp_path / "other.safetensors"
    save_file({"values": np.zeros((2, 16), np.float32)}, other)
    with pytest.raises(WeightsError, match="not a style track"):
        StyleTrack.load(other)
    good = tmp_path / "good.safetensors"
    track().save(good)
    content = good.read_bytes()
    for damaged in (
        b"",
        content[:7],
        content[:100],
        content[:-1],
        b"\xff" * 64,
        content.replace(b"30000/1001", b"30000/0000"),
    ):
        other.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"other\.safetensors"):
            StyleTrack.load(other)


def test_bombs_for_a_frame_rate_are_refused_within_a_second_and_200_mb(tmp_path: Path) -> None:
    rates = ["1e20000000", "25", "1/1e9", "9" * 20_000_000 + "/1", "1/0", "\u0662\u0665/1x"]
    calls = []
    for index, rate in enumerate(rates):
        path = tmp_path / f"{index}.safetensors"
        values = {"values": np.zeros((10, 16), np.float32)}
        path.write_bytes(save_arrays(values, metadata={"format": TRACK_FORMAT, "frame_rate": rate}))
        calls.append(f"StyleTrack.load(Path({str(path)!r}))")
    imports = "from pathlib import Path\nfrom talkface_core.style.track import StyleTrack\n"
    messages = refusals(imports + "from talkface_core.errors import WeightsError", calls, "WeightsError")
    assert all("track" in message for message in messages)
