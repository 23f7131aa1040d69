"""Integer probability tables of the style codec: made by training, shipped with the weights, not computed at run time.

A bank of discretised Laplace tables covers every spread that occurs; for each kind of payload, each frame scale and
each style value an index names the table in the bank. Both ends must hold the same tables: `table_id` is the first
byte of the SHA-256 of their canonical JSON and travels in the handshake.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.style.quantiser import DEFAULT_STEPS_64THS, MAX_INDEX, quantise_residual, to_steps

TABLES_VERSION = 1
MAX_RESIDUAL = 2 * MAX_INDEX
"""A residual lies between two indices of opposite sign at most."""
NUM_SYMBOLS = 2 * MAX_RESIDUAL + 1
TABLE_TOTAL = 1 << 16
"""Frequencies of a table sum to this."""
LEAK_DENOMINATOR = 256
NUM_SCALES = 4
SCALE_FACTORS = (0.35, 0.8, 1.6, 3.2)
"""Faces rest and then move: the encoder names one of these spreads for each vector."""
NUM_ANCHOR_IDS = 8
NUM_LIPS_STATES = NUM_SCALES + 1
"""0: lips not sent; k: sent with scale k - 1."""
BANK_SCALES = tuple(0.06 * 1.33**i for i in range(22))
"""Laplace scales of the bank in steps, 0.06 to about 24."""


class PayloadKind(IntEnum):
    """What a payload is predicted from."""

    REFRESH = 0
    """Nothing: absolute values, which become the anchor."""
    ANCHOR = 1
    """The last anchor; becomes the anchor."""
    PLAIN = 2
    """The last anchor; nothing depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleTables:
    """Everything both ends of the style codec must agree on; integers only.

    Raises:
        WeightsError: a field has the wrong shape or range.
    """

    steps_64ths: tuple[int, ...]
    """[16] quantiser step of each value in 64ths of sigma."""
    leaks_256ths: tuple[tuple[int, ...], ...]
    """[3][12] prediction coefficient by kind and base value, in 256ths; 0 for REFRESH."""
    bank: tuple[tuple[int, ...], ...]
    """[N][161] frequencies over residuals -80..80, each >= 1, each table summing to 65 536."""
    base_tables: tuple[tuple[tuple[int, ...], ...], ...]
    """[3][4][12] bank index by kind, frame scale and base value."""
    lips_tables: tuple[tuple[int, ...], ...]
    """[4][4] bank index by lips scale and lips value."""
    kind_table: tuple[int, ...]
    """[3] frequencies of `PayloadKind`."""
    scale_tables: tuple[tuple[int, ...], ...]
    """[3][4] frequencies of the frame scale by kind."""
    lips_state_table: tuple[int, ...]
    """[5] frequencies of the lips state."""
    anchor_every: int
    """Every n-th payload is an anchor; the encoder may deviate, the decoder does not rely on it."""

    def __post_init__(self) -> None:
        lips = STYLE_VALUES - BASE_STYLE_VALUES
        _expect_shape("steps_64ths", self.steps_64ths, (STYLE_VALUES,), 1, 1024)
        _expect_shape("leaks_256ths", self.leaks_256ths, (len(PayloadKind), BASE_STYLE_VALUES), 0, LEAK_DENOMINATOR)
        _expect_shape("bank", self.bank, (None, NUM_SYMBOLS), 1, TABLE_TOTAL)
        last = len(self.bank) - 1
        _expect_shape("base_tables", self.base_tables, (len(PayloadKind), NUM_SCALES, BASE_STYLE_VALUES), 0, last)
        _expect_shape("lips_tables", self.lips_tables, (NUM_SCALES, lips), 0, last)
        _expect_shape("kind_table", self.kind_table, (len(PayloadKind),), 1, TABLE_TOTAL)
        _expect_shape("scale_tables", self.scale_tables, (len(PayloadKind), NUM_SCALES), 1, TABLE_TOTAL)
        _expect_shape("lips_state_table", self.lips_state_table, (NUM_LIPS_STATES,), 1, TABLE_TOTAL)
        for table in (*self.bank, *self.scale_tables, self.kind_table, self.lips_state_table):
            if sum(table) != TABLE_TOTAL:
                raise WeightsError(f"style tables: frequencies sum to {sum(table)}, must be {TABLE_TOTAL}")
        if any(self.leaks_256ths[PayloadKind.REFRESH]):
            raise WeightsError("style tables: leaks of the absolute payload must be 0")
        if not 1 <= self.anchor_every <= 64:
            raise WeightsError(f"style tables: anchor_every must be 1..64, got {self.anchor_every}")

    @property
    def table_id(self) -> int:
        """0..255, from the content."""
        return hashlib.sha256(self.to_json().encode()).digest()[0]

    def to_json(self) -> str:
        """Canonical JSON: equal tables give equal text."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({"version": TABLES_VERSION, **content}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> StyleTables:
        """Read `to_json`'s output; the text is not trusted.

        Raises:
            WeightsError: not JSON, another version, an unknown or missing field, or a value out of range.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"style tables: not JSON ({error})") from None
        if not isinstance(content, dict) or content.pop("version", None) != TABLES_VERSION:
            raise WeightsError(f"style tables: not version {TABLES_VERSION}; install matching weights")
        names = {f.name for f in fields(cls)}
        if set(content) != names:
            raise WeightsError(f"style tables: fields {sorted(set(content) ^ names)} are missing or unknown")
        return cls(**{name: _as_tuples(value) for name, value in content.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(v) for v in value) if isinstance(value, list) else value


def _expect_shape(name: str, value: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    """Nested tuples of plain integers of this shape and range, or WeightsError."""
    if not shape:
        if type(value) is not int or not low <= value <= high:
            raise WeightsError(f"style tables: {name} holds {value!r}, must be an integer in {low}..{high}")
        return
    if not isinstance(value, tuple) or not value or (shape[0] is not None and len(value) != shape[0]):
        raise WeightsError(f"style tables: {name} must have {shape[0] or 'some'} entries here")
    for entry in value:
        _expect_shape(name, entry, shape[1:], low, high)


def integer_frequencies(weights: NDArray[np.float64]) -> tuple[int, ...]:
    """Frequencies >= 1 that sum to TABLE_TOTAL and follow `weights` [n], which need not be normalised."""
    spare = TABLE_TOTAL - len(weights)
    exact = weights / weights.sum() * spare
    counts = np.floor(exact).astype(np.int64)
    # Largest remainders first; a stable sort makes the result a function of the weights alone.
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: spare - int(counts.sum())]] += 1
    return tuple(int(c) + 1 for c in counts)


def laplace_table(scale: float) -> tuple[int, ...]:
    """Frequencies of residuals -80..80 under a Laplace density of this scale (in steps)."""
    edge = math.exp(-0.5 / scale)
    distance = np.abs(np.arange(-MAX_RESIDUAL, MAX_RESIDUAL + 1))
    mass = 0.5 * np.exp(-distance / scale) * (1 / edge - edge)
    mass[MAX_RESIDUAL] = 1 - edge
    return integer_frequencies(mass)


def nearest_bank_index(scale: float) -> int:
    """Index of the bank's table closest to `scale` on a logarithmic axis."""
    return int(np.argmin([abs(math.log(max(scale, BANK_SCALES[0]) / b)) for b in BANK_SCALES]))


def predict(anchor: NDArray[np.int64], leaks_256ths: NDArray[np.int64]) -> NDArray[np.int64]:
    """round(anchor * leak), half away from zero, in integers: the same on every machine."""
    product = anchor * leaks_256ths
    return np.sign(product) * ((np.abs(product) * 2 + LEAK_DENOMINATOR) // (2 * LEAK_DENOMINATOR))


@dataclass(frozen=True, slots=True)
class _Residuals:
    """Residuals of one kind over all tracks: [n, 12] of the base, [n, 4] of the lips, in steps."""

    base: NDArray[np.int64]
    lips: NDArray[np.int64]


def fit_style_tables(
    tracks: list[NDArray[np.float32]],
    *,
    steps_64ths: tuple[int, ...] = DEFAULT_STEPS_64THS,
    anchor_every: int = 4,
    refresh_every: int = 17,
    lips_share: float = 0.5,
) -> StyleTables:
    """Fit leaks, spreads and the frequencies of the side information to measured style.

    Args:
        tracks: each [T, 16] in sigma units, **at the rate at which style is sent** (8.3 per second by default).
        anchor_every: payloads between anchors; larger loses less to a lost packet and costs more bits.
        refresh_every: payloads between absolute ones.
        lips_share: share of payloads that will carry the lips layer.

    Raises:
        ValueError: no track is longer than `refresh_every`.
    """
    steps = np.array(steps_64ths, dtype=np.int64)
    in_steps = [to_steps(track, steps) for track in tracks if len(track) > refresh_every]
    if not in_steps:
        raise ValueError(f"fit_style_tables needs a track longer than {refresh_every} vectors")
    leaks = np.zeros((len(PayloadKind), BASE_STYLE_VALUES), dtype=np.int64)
    for kind, lags in (
        (PayloadKind.ANCHOR, (anchor_every,)),
        (PayloadKind.PLAIN, tuple(range(1, anchor_every)) or (1,)),
    ):
        leaks[kind] = _fit_leaks(in_steps, lags)
    residuals = _closed_loop_residuals(in_steps, leaks, anchor_every, refresh_every)
    base_scales = {kind: np.maximum(np.abs(r.base).mean(0), BANK_SCALES[0]) for kind, r in residuals.items()}
    lips = np.concatenate([r.lips for r in residuals.values()])
    lips_scales = np.maximum(np.abs(lips).mean(0), BANK_SCALES[0])
    bank = tuple(laplace_table(scale) for scale in BANK_SCALES)
    base_tables = tuple(
        tuple(tuple(nearest_bank_index(s * f) for s in base_scales[kind]) for f in SCALE_FACTORS)
        for kind in PayloadKind
    )
    lips_tables = tuple(tuple(nearest_bank_index(s * f) for s in lips_scales) for f in SCALE_FACTORS)
    bits = -np.log2(np.array(bank) / TABLE_TOTAL)
    scale_tables = tuple(
        integer_frequencies(_scale_usage(residuals[kind].base, base_tables[kind], bits)) for kind in PayloadKind
    )
    lips_usage = _scale_usage(lips, lips_tables, bits)
    lips_weights = np.concatenate([[1 - lips_share], lips_share * lips_usage / lips_usage.sum()])
    refresh_share, anchor_share = 1 / refresh_every, (1 - 1 / refresh_every) / anchor_every
    kinds = np.array([refresh_share, anchor_share, max(1 - refresh_share - anchor_share, 0.01)])
    return StyleTables(
        steps_64ths=steps_64ths,
        leaks_256ths=tuple(tuple(int(v) for v in row) for row in leaks),
        bank=bank,
        base_tables=base_tables,
        lips_tables=lips_tables,
        kind_table=integer_frequencies(kinds),
        scale_tables=scale_tables,
        lips_state_table=integer_frequencies(lips_weights),
        anchor_every=anchor_every,
    )


def _fit_leaks(in_steps: list[NDArray[np.float64]], lags: tuple[int, ...]) -> NDArray[np.int64]:
    """[12] least-squares coefficients of x_t on x_{t - lag} over all lags, in 256ths, in [0, 1]."""
    product = np.zeros(BASE_STYLE_VALUES)
    power = np.full(BASE_STYLE_VALUES, 1e-9)
    for track in in_steps:
        base = track[:, :BASE_STYLE_VALUES]
        for lag in lags:
            product += (base[lag:] * base[:-lag]).sum(0)
            power += (base[:-lag] ** 2).sum(0)
    return np.clip(np.rint(product / power * LEAK_DENOMINATOR), 0, LEAK_DENOMINATOR).astype(np.int64)


def _closed_loop_residuals(
    in_steps: list[NDArray[np.float64]], leaks: NDArray[np.int64], anchor_every: int, refresh_every: int
) -> dict[PayloadKind, _Residuals]:
    """What the encoder would code: predicted from what the decoder has, not from the original."""
    rows: dict[PayloadKind, list[NDArray[np.int64]]] = {kind: [] for kind in PayloadKind}
    lips_prediction = np.zeros(STYLE_VALUES - BASE_STYLE_VALUES, dtype=np.int64)
    for track in in_steps:
        anchor = np.zeros(BASE_STYLE_VALUES, dtype=np.int64)
        for t, row in enumerate(track):
            phase = t % refresh_every
            kind = PayloadKind.PLAIN if phase % anchor_every else PayloadKind.ANCHOR
            kind = kind if phase else PayloadKind.REFRESH
            prediction = predict(anchor, leaks[kind])
            residual = quantise_residual(row, np.concatenate([prediction, lips_prediction]))
            rows[kind].append(residual)
            anchor = anchor if kind is PayloadKind.PLAIN else prediction + residual[:BASE_STYLE_VALUES]
    # With an anchor in every payload there are no plain ones; their tables are then those of the anchors.
    rows[PayloadKind.PLAIN] = rows[PayloadKind.PLAIN] or rows[PayloadKind.ANCHOR]
    stacked = {kind: np.array(values) for kind, values in rows.items()}
    return {k: _Residuals(v[:, :BASE_STYLE_VALUES], v[:, BASE_STYLE_VALUES:]) for k, v in stacked.items()}


def _scale_usage(
    residuals: NDArray[np.int64], tables: tuple[tuple[int, ...], ...], bits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[4] how often each frame scale is the cheapest, never zero."""
    columns = residuals + MAX_RESIDUAL
    cost = np.stack([bits[np.array(row)[None, :], columns].sum(1) for row in tables])  # [4, n]
    return np.bincount(cost.argmin(0), minlength=NUM_SCALES).astype(np.float64) + 1


def synthetic_tracks(seed: int = 0) -> list[NDArray[np.float32]]:
    """Stand-in for measured style: unit-variance first-order processes whose activity comes and goes.

    Base values: correlation 0.96 at 16.7 per second (people in front of a camera move like that); lips 0.6.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    rho = np.array([0.96] * BASE_STYLE_VALUES + [0.6] * (STYLE_VALUES - BASE_STYLE_VALUES))
    tracks = []
    for _ in range(20):
        activity = np.repeat(generator.choice([0.4, 1.4], size=50), 10)
        noise = generator.laplace(scale=math.sqrt(0.5), size=(500, STYLE_VALUES)) * np.sqrt(1 - rho**2)
        track = np.zeros((500, STYLE_VALUES))
        state = generator.standard_normal(STYLE_VALUES)
        for t in range(500):
            state = rho * state + noise[t] * activity[t]
            track[t] = state
        tracks.append(track.astype(np.float32))
    return tracks


@lru_cache(maxsize=1)
def default_style_tables() -> StyleTables:
    """The tables that ship with the package, for weights that bring none of their own."""
    text = resources.files("talkface_core").joinpath("data/style_tables_default.json").read_text()
    return StyleTables.from_json(text)
