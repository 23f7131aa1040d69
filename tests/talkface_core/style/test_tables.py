"""Tables are integers, versioned by content, fitted from data and not trusted when read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from talkface_core.errors import WeightsError
from talkface_core.style.tables import (
    MAX_RESIDUAL,
    NUM_SYMBOLS,
    TABLE_TOTAL,
    PayloadKind,
    StyleTables,
    default_style_tables,
    fit_style_tables,
    integer_frequencies,
    laplace_table,
    predict,
    synthetic_tracks,
)


def test_shipped_default_is_what_the_fit_makes() -> None:
    assert fit_style_tables(synthetic_tracks()) == default_style_tables()


def test_json_round_trip_keeps_content_and_id() -> None:
    tables = default_style_tables()
    again = StyleTables.from_json(tables.to_json())
    assert again == tables
    assert again.table_id == tables.table_id


def test_fit_gives_narrow_tables_to_still_values_and_another_id() -> None:
    tracks = [track * np.float32(0.05) for track in synthetic_tracks()]
    still = fit_style_tables(tracks)
    assert still.table_id != default_style_tables().table_id
    moving = np.array(default_style_tables().base_tables)[PayloadKind.PLAIN]
    assert (np.array(still.base_tables)[PayloadKind.PLAIN] < moving).any()
    with pytest.raises(ValueError, match="longer than 17"):
        fit_style_tables([tracks[0][:10]])


def test_laplace_table_matches_the_integrated_density() -> None:
    table = np.array(laplace_table(2.0)) / TABLE_TOTAL
    x = np.linspace(-MAX_RESIDUAL - 0.5, MAX_RESIDUAL + 0.5, NUM_SYMBOLS * 1000 + 1)
    density = np.exp(-np.abs(x) / 2) / 4
    mass = ((density[1:] + density[:-1]) / 2).reshape(NUM_SYMBOLS, 1000).sum(1) * (x[1] - x[0])
    np.testing.assert_allclose(table, mass, atol=6e-4)  # the least frequency takes 161 of 65 536


def test_integer_frequencies_sum_exactly_and_are_never_zero() -> None:
    for weights in ([1.0], [1e-30, 1.0], [1, 2, 3, 4, 5.5], list(np.random.default_rng(0).random(161))):
        frequencies = integer_frequencies(np.array(weights, dtype=np.float64))
        assert sum(frequencies) == TABLE_TOTAL
        assert min(frequencies) >= 1


def test_predict_rounds_half_away_from_zero() -> None:
    anchor = np.array([-3, -1, 0, 1, 3, 20])
    np.testing.assert_array_equal(predict(anchor, np.full(6, 128)), [-2, -1, 0, 1, 2, 10])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "not version 1"),
        ({"bank": [[1] * 161]}, "bank index|must be an integer|sum to"),
        ({"kind_table": [1, 2]}, "kind_table must have 3"),
        ({"steps_64ths": [0] * 16}, "steps_64ths holds 0"),
        ({"steps_64ths": [True] * 16}, "steps_64ths holds True"),
        ({"lips_tables": 5}, "lips_tables must have 4"),
        ({"leaks_256ths": [[1] * 12] * 3}, "absolute payload must be 0"),
        ({"anchor_every": 0}, "anchor_every must be"),
        ({"extra": 1}, "extra"),
    ],
)
def test_damaged_tables_are_refused_with_the_reason(change: dict[str, object], message: str) -> None:
    content = json.loads(default_style_tables().to_json()) | change
    with pytest.raises(WeightsError, match=message):
        StyleTables.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_text_that_is_not_tables_is_refused(text: str) -> None:
    with pytest.raises(WeightsError):
        StyleTables.from_json(text)
