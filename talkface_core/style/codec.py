"""Style values to payload bytes and back: closed-loop prediction from anchors, fixed integer tables, a range coder.

A payload is one range-coded word stream (Martin 1979, constriction's implementation), cut to its shortest form:

    kind | anchor id | frame scale | lips state | 12 base residuals | 4 lips indices (if sent)

Loss. Payloads are not chained one to the next. A REFRESH is absolute, decodes alone and is an anchor; every n-th
payload (n = 4 in the tables that ship) is an ANCHOR, predicted from the anchor before it; the others are PLAIN,
predicted from the last anchor, and nothing depends on them. So three of four lost payloads do not matter to any other.
Each payload names its anchor (modulo 8): a decoder that lost that anchor knows it, still decodes (the tables need no
state) and returns an *estimate*, the residual on top of the newest anchor it has, until a refresh makes it exact again.
`StyleCodecDecoder.is_exact` tells which it was. Lips are always absolute, so that layer can be dropped and taken up at
any payload.

Exactness: everything between the two float conversions is integer arithmetic, so an exact payload gives the encoder's
`reconstruction` on every machine, within 0.62 steps of what went in (where that lies on the grid of +-40 steps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import StylePayloadError
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.style.quantiser import MAX_INDEX, dequantise, quantise_residual, to_steps
from talkface_core.style.tables import (
    MAX_RESIDUAL,
    NUM_ANCHOR_IDS,
    TABLE_TOTAL,
    PayloadKind,
    StyleTables,
    predict,
)

MAX_STYLE_PAYLOAD_BYTES = 64
"""Far above the longest payload that an encoder makes: 19 symbols of at most 16 bits each and an anchor id of three,
about 40 bytes."""
DEFAULT_REFRESH_EVERY = 17
"""Payloads between forced refreshes: one second where every packet of 60 ms carries one, two where every second does.
A sender asks for refreshes of its own, by time."""

IntArray = NDArray[np.int64]

_NO_LIPS: IntArray = np.zeros(STYLE_VALUES - BASE_STYLE_VALUES, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Symbols:
    """One payload as integers."""

    kind: PayloadKind
    anchor_id: int
    """The anchor this is predicted from; of a REFRESH, its own id."""
    scale: int
    base: IntArray
    """[12] residuals, -80..80"""
    lips_state: int
    """0: not sent; k: sent with lips scale k - 1."""
    lips: IntArray | None
    """[4] indices, -40..40"""


class SymbolCoder:
    """Payload symbols to bytes and back; holds the tables in the coder's form, remembers nothing between payloads."""

    def __init__(self, tables: StyleTables) -> None:
        bank = np.array(tables.bank, dtype=np.float64) / TABLE_TOTAL  # dyadic, hence exact in float64
        self._base = bank[np.array(tables.base_tables)]  # [3, 4, 12, 161]
        self._lips = bank[np.array(tables.lips_tables)]  # [4, 4, 161]
        self._base_bits = -np.log2(self._base)
        self._lips_bits = -np.log2(self._lips)
        self._scale_bits = -np.log2(np.array(tables.scale_tables) / TABLE_TOTAL)
        self._lips_state_bits = -np.log2(np.array(tables.lips_state_table) / TABLE_TOTAL)
        self._kind = _model(tables.kind_table)
        self._anchor = _model((TABLE_TOTAL // NUM_ANCHOR_IDS,) * NUM_ANCHOR_IDS)
        self._scale = [_model(row) for row in tables.scale_tables]
        self._lips_state = _model(tables.lips_state_table)
        self._rows: Any = constriction.stream.model.Categorical(perfect=False)

    def cheapest_scale(self, kind: PayloadKind, residuals: IntArray) -> int:
        """The frame scale that codes [12] residuals in the fewest bits."""
        rows = np.arange(BASE_STYLE_VALUES)
        return int((self._base_bits[kind][:, rows, residuals + MAX_RESIDUAL].sum(1) + self._scale_bits[kind]).argmin())

    def base_bits(self, kind: PayloadKind, scale: int, residuals: IntArray) -> float:
        """Code length of [12] residuals; an estimate for choosing, never part of the format."""
        rows = np.arange(BASE_STYLE_VALUES)
        return float(self._base_bits[kind, scale, rows, residuals + MAX_RESIDUAL].sum() + self._scale_bits[kind][scale])

    def cheapest_lips_state(self, lips: IntArray) -> int:
        """The lips state that codes [4] indices in the fewest bits."""
        rows = np.arange(STYLE_VALUES - BASE_STYLE_VALUES)
        bits = self._lips_bits[:, rows, lips + MAX_RESIDUAL].sum(1) + self._lips_state_bits[1:]
        return 1 + int(bits.argmin())

    def encode(self, symbols: _Symbols) -> bytes:
        """The shortest bytes that `decode` maps to these symbols; at least one."""
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(int(symbols.kind), self._kind)
        coder.encode(symbols.anchor_id, self._anchor)
        coder.encode(symbols.scale, self._scale[symbols.kind])
        coder.encode(symbols.lips_state, self._lips_state)
        coder.encode(
            (symbols.base + MAX_RESIDUAL).astype(np.int32), self._rows, self._base[symbols.kind, symbols.scale]
        )
        if symbols.lips is not None:
            coder.encode((symbols.lips + MAX_RESIDUAL).astype(np.int32), self._rows, self._lips[symbols.lips_state - 1])
        return self._shorten(coder.get_compressed().astype(">u4").tobytes(), symbols)

    def _shorten(self, stream: bytes, symbols: _Symbols) -> bytes:
        """The coder ends on a 32-bit word; find the shortest prefix, rounded up if need be, that means the same.

        Whatever fits a length fits every greater one (append zeros), so the length is found by bisection.
        """
        shortest, too_short = stream, 0
        while len(shortest) - too_short > 1:
            length = (len(shortest) + too_short) // 2
            prefix = stream[:length]
            found = next((c for c in (prefix, _increment(prefix)) if c is not None and self._means(c, symbols)), None)
            if found is None:
                too_short = length
            else:
                shortest = found
        return shortest

    def _means(self, payload: bytes, symbols: _Symbols) -> bool:
        try:
            return _same(self._decode_unchecked(payload), symbols)
        except StylePayloadError:  # a prefix can point outside every symbol's interval
            return False

    def decode(self, payload: bytes) -> _Symbols:
        """Bytes to symbols.

        Raises:
            StylePayloadError: empty, too long, impossible, or not in shortest form.
        """
        if not payload:
            raise StylePayloadError("style payload is empty")
        if len(payload) > MAX_STYLE_PAYLOAD_BYTES:
            raise StylePayloadError(f"style payload of {len(payload)} bytes is over {MAX_STYLE_PAYLOAD_BYTES}")
        symbols = self._decode_unchecked(payload)
        # Longer spellings are refused: what an encoder sends is never longer than needed, junk appended to it is.
        prefix = payload[:-1]
        if prefix and any(c is not None and self._means(c, symbols) for c in (prefix, _increment(prefix))):
            raise StylePayloadError("style payload is not in shortest form")
        return symbols

    def _decode_unchecked(self, payload: bytes) -> _Symbols:
        padded = payload + bytes(-len(payload) % 4)
        coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, dtype=">u4").astype(np.uint32))
        try:
            kind = PayloadKind(int(coder.decode(self._kind)))
            anchor_id = int(coder.decode(self._anchor))
            scale = int(coder.decode(self._scale[kind]))
            lips_state = int(coder.decode(self._lips_state))
            base = coder.decode(self._rows, self._base[kind, scale]).astype(np.int64) - MAX_RESIDUAL
            lips = None
            if lips_state:
                lips = coder.decode(self._rows, self._lips[lips_state - 1]).astype(np.int64) - MAX_RESIDUAL
        except AssertionError as error:  # what constriction raises on an impossible stream
            raise StylePayloadError(f"style payload does not decode: {error}") from None
        return _Symbols(kind, anchor_id, scale, base, lips_state, lips)


def _model(frequencies: tuple[int, ...]) -> Any:
    probabilities = np.array(frequencies, dtype=np.float64) / TABLE_TOTAL
    return constriction.stream.model.Categorical(probabilities, perfect=False)


def _increment(prefix: bytes) -> bytes | None:
    """The next larger number of the same length, or None on overflow."""
    number = int.from_bytes(prefix, "big") + 1
    return number.to_bytes(len(prefix), "big") if number >> (8 * len(prefix)) == 0 else None


def _same(a: _Symbols, b: _Symbols) -> bool:
    if (a.kind, a.anchor_id, a.scale, a.lips_state) != (b.kind, b.anchor_id, b.scale, b.lips_state):
        return False
    if not np.array_equal(a.base, b.base):
        return False
    return a.lips is None or (b.lips is not None and np.array_equal(a.lips, b.lips))


class StyleCodecEncoder:
    """`StylePayloadEncoder`: one call per style block, in order.

    Args:
        tables: shared with the decoder.
        refresh_every: most payloads from one absolute payload to the next, whatever the caller asks.
        anchor_every: every n-th payload becomes an anchor; 1 chains payloads (cheapest), larger values make fewer
            payloads matter to others. None: what the tables were fitted for.
    """

    def __init__(
        self, tables: StyleTables, *, refresh_every: int = DEFAULT_REFRESH_EVERY, anchor_every: int | None = None
    ) -> None:
        if refresh_every < 1 or (anchor_every is not None and anchor_every < 1):
            raise ValueError("refresh_every and anchor_every must be at least 1")
        self._coder = SymbolCoder(tables)
        self._steps = np.array(tables.steps_64ths, dtype=np.int64)
        self._leaks = np.array(tables.leaks_256ths, dtype=np.int64)
        self._refresh_every = refresh_every
        self._anchor_every = anchor_every or tables.anchor_every
        self._anchor = np.zeros(BASE_STYLE_VALUES, dtype=np.int64)
        self._has_anchor = False
        self._reconstruction = np.zeros(STYLE_VALUES, dtype=np.int64)
        self._anchor_id = 0
        self._since_refresh = 0
        self._since_anchor = 0

    def encode(self, values: NDArray[np.float32], *, refresh: bool, with_lips: bool) -> bytes:
        """[16] values in sigma units to a payload; see `StylePayloadEncoder`.

        Raises:
            ValueError: not [16], or not finite.
        """
        if values.shape != (STYLE_VALUES,):
            raise ValueError(f"style values must be [{STYLE_VALUES}], not {list(values.shape)}")
        in_steps = to_steps(values, self._steps)
        base = in_steps[:BASE_STYLE_VALUES]
        lips = quantise_residual(in_steps[BASE_STYLE_VALUES:], _NO_LIPS) if with_lips else None
        if refresh or not self._has_anchor or self._since_refresh + 1 >= self._refresh_every:
            kind = PayloadKind.REFRESH
        elif self._since_anchor + 1 >= self._anchor_every:
            kind = PayloadKind.ANCHOR
        else:
            kind = PayloadKind.PLAIN
        symbols = self._symbols(kind, base, lips)
        payload = self._coder.encode(symbols)
        if kind is not PayloadKind.REFRESH:
            # After a jump, absolute values can be the shorter way to say it, and they heal earlier losses too.
            absolute = self._symbols(PayloadKind.REFRESH, base, lips)
            if self._bits(absolute) <= self._bits(symbols) + 8:
                absolute_payload = self._coder.encode(absolute)
                if len(absolute_payload) <= len(payload):
                    symbols, payload = absolute, absolute_payload
        self._advance(symbols)
        return payload

    @property
    def reconstruction(self) -> NDArray[np.float32]:
        """[16] what an exact decoder returned for the last payload; zeros before the first."""
        return dequantise(self._reconstruction, self._steps)

    def _symbols(self, kind: PayloadKind, base: NDArray[np.float64], lips: IntArray | None) -> _Symbols:
        residuals = quantise_residual(base, self._prediction(kind))
        anchor_id = (self._anchor_id + 1) % NUM_ANCHOR_IDS if kind is PayloadKind.REFRESH else self._anchor_id
        state = 0 if lips is None else self._coder.cheapest_lips_state(lips)
        scale = self._coder.cheapest_scale(kind, residuals)
        return _Symbols(kind, anchor_id, scale, residuals, state, lips)

    def _bits(self, symbols: _Symbols) -> float:
        return self._coder.base_bits(symbols.kind, symbols.scale, symbols.base)

    def _prediction(self, kind: PayloadKind) -> IntArray:
        """Zero for a REFRESH, whose leaks are zero."""
        return predict(self._anchor, self._leaks[kind])

    def _advance(self, symbols: _Symbols) -> None:
        """Follow the decoder."""
        base = self._prediction(symbols.kind) + symbols.base
        self._reconstruction = np.concatenate([base, _NO_LIPS if symbols.lips is None else symbols.lips])
        self._has_anchor = True
        self._since_refresh = 0 if symbols.kind is PayloadKind.REFRESH else self._since_refresh + 1
        if symbols.kind is PayloadKind.PLAIN:
            self._since_anchor += 1
            return
        self._since_anchor = 0
        self._anchor = base
        self._anchor_id = (self._anchor_id + 1) % NUM_ANCHOR_IDS


class StyleCodecDecoder:
    """`StylePayloadDecoder`; give it payloads in order and say when some are missing between.

    Anchor ids count modulo 8, so a gap that swallowed eight anchors and everything between (two seconds where every
    packet of 60 ms carries a payload) can hide a loss: call `reset` after such a gap.
    """

    def __init__(self, tables: StyleTables) -> None:
        self._coder = SymbolCoder(tables)
        self._steps = np.array(tables.steps_64ths, dtype=np.int64)
        self._leaks = np.array(tables.leaks_256ths, dtype=np.int64)
        self._is_exact = False
        self.reset()

    @property
    def is_exact(self) -> bool:
        """The last returned values equal the encoder's; False: an estimate, an anchor was lost."""
        return self._is_exact

    def reset(self) -> None:
        """Forget everything; the next values come with the next refresh."""
        self._anchor: IntArray | None = None
        self._anchor_id = 0
        self._anchor_is_exact = False
        self._is_exact = False

    def decode(self, payload: bytes, *, is_contiguous: bool) -> NDArray[np.float32] | None:
        """Payload to [16] float32 values, lips 0 when not sent; None until the first refresh.

        Args:
            is_contiguous: no payload is missing before this one. Anchors name themselves, so it only adds certainty:
                a payload said to follow its predecessor that names an unknown anchor comes from a sender that
                left one out, and is treated like a loss.

        Raises:
            StylePayloadError: the bytes are not a payload, or lead outside the range of the quantiser.
        """
        symbols = self._coder.decode(payload)
        if symbols.lips is not None and np.abs(symbols.lips).max() > MAX_INDEX:
            raise StylePayloadError("style payload holds a lips value out of range")
        if symbols.kind is PayloadKind.REFRESH:
            base, is_exact, own_id = symbols.base, True, symbols.anchor_id
        elif self._anchor is None:
            return None
        else:
            base = predict(self._anchor, self._leaks[symbols.kind]) + symbols.base
            is_exact = self._anchor_is_exact and symbols.anchor_id == self._anchor_id
            own_id = (symbols.anchor_id + 1) % NUM_ANCHOR_IDS
        if np.abs(base).max() > MAX_INDEX:
            if is_exact:
                raise StylePayloadError("style payload holds a base value out of range")
            base = np.clip(base, -MAX_INDEX, MAX_INDEX)  # an estimate may overshoot
        if symbols.kind is not PayloadKind.PLAIN:
            self._anchor, self._anchor_id, self._anchor_is_exact = base, own_id, is_exact
        elif not is_exact:
            # The sender has moved on from the anchor held here: nothing that names its number later means it.
            self._anchor_is_exact = False
        self._is_exact = is_exact
        indices = np.zeros(STYLE_VALUES, dtype=np.int64)
        indices[:BASE_STYLE_VALUES] = base
        if symbols.lips is not None:
            indices[BASE_STYLE_VALUES:] = symbols.lips
        return dequantise(indices, self._steps)
