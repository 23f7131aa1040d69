"""The style codec: values of one block to a payload and back, and the payload's way into an Opus packet and out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.benchmark import CALLS_PER_TURN, Benchmark, Settings
from benchmarks.measurement import Outcome, Skip, Unit, measured
from benchmarks.subjects.speech import PRESET, opus_packets
from benchmarks.timer import Case, take_turns, timed_ms
from protocol.audio_payload import parse_audio_payload
from protocol.opus_padding import add_padding
from protocol.style_block import StyleBlock
from talkface.side.parts import own_style_track
from talkface_core.face.model import load_face_model


def run(settings: Settings) -> Iterator[Outcome]:
    """The four steps in turns, on the style track of the first weights at the default preset's pace."""
    weights = settings.weights[0]
    track = own_style_track(weights)
    if track is None:
        yield Skip(name=f"weights {weights}", reason="they come with no recorded style")
        return
    model = load_face_model(weights)
    step = round(track.frame_rate / PRESET.style_hz)
    num_calls = settings.rounds * (CALLS_PER_TURN + 1)
    vectors = list(itertools.islice(itertools.cycle(track.values[::step]), num_calls))
    sender, encoder, decoder = model.payload_encoder(), model.payload_encoder(), model.payload_decoder()
    payloads = [sender.encode(vector, refresh=False, with_lips=True) for vector in vectors]
    opus = list(itertools.islice(itertools.cycle(opus_packets()), num_calls))
    padded = [add_padding(packet, _block(payload)) for packet, payload in zip(opus, payloads, strict=True)]
    to_code, to_decode, to_pad, to_parse = (
        iter(vectors),
        iter(payloads),
        iter(zip(opus, payloads, strict=True)),
        iter(padded),
    )

    def pad() -> None:
        packet, payload = next(to_pad)
        add_padding(packet, _block(payload))

    rows = {
        "values to payload": lambda: encoder.encode(next(to_code), refresh=False, with_lips=True),
        "payload to values": lambda: decoder.decode(next(to_decode), is_contiguous=True),
        "payload into an Opus packet": pad,
        "received packet taken apart": lambda: parse_audio_payload(next(to_parse)),
    }
    timings = take_turns([Case(timed_ms(call)) for call in rows.values()], rounds=settings.rounds, calls=CALLS_PER_TURN)
    for name, timing in zip(rows, timings, strict=True):
        yield measured(name, [1000 * ms for ms in timing.samples], Unit.MICROSECONDS, {"weights": weights})


def _block(payload: bytes) -> bytes:
    return StyleBlock(style=payload, redundancy=b"").to_bytes()


BENCHMARK = Benchmark("style_codec", "Style codec, one block", run)
