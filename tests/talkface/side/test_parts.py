"""What a side is made of: the same default face everywhere, and a choice of style that explains itself."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from protocol.identity.file import IdentityFile, NumberFormat, sign_identity
from protocol.identity.key import OwnerKey
from protocol.identity.sectioned import sign_sections
from receiver.identity_store import identity_for_model
from sender.sources.style import NoStyle, ReferenceStyle
from talkface.clock import MonotonicClock, SkewedClock
from talkface.demo import SPEECH, demo_call
from talkface.errors import UserError
from talkface.identity.folders import identity_cache_folder
from talkface.identity.key_folder import KeyFolder
from talkface.options import DemoOptions, SourceOptions, StyleChoice
from talkface.side.parts import (
    default_identity_file,
    load_identity,
    load_model,
    make_source,
    own_style_track,
    tiny_style_track,
)
from talkface_core.face.model import TalkfaceModel


@pytest.fixture(scope="module")
def tiny() -> TalkfaceModel:
    return load_model("tiny")


def test_default_identity_is_the_same_file_each_time_and_that_face(tiny: TalkfaceModel) -> None:
    file = default_identity_file(tiny)
    assert file.to_bytes() == default_identity_file(tiny).to_bytes()
    face = identity_for_model(IdentityFile.from_bytes(file.to_bytes()), tiny.info)
    np.testing.assert_allclose(face.z, tiny.default_identity().z, atol=2e-3)


def test_identity_of_other_weights_is_refused(tiny: TalkfaceModel, tmp_path: Path) -> None:
    other = sign_identity(
        OwnerKey.generate(),
        name="Ann",
        weights_sha256="ab" * 32,
        latent_dim=tiny.info.latent_dim,
        number_format=NumberFormat.FLOAT16,
        z=bytes(2 * tiny.info.latent_dim),
    )
    path = tmp_path / "ann.identity"
    path.write_bytes(other.to_bytes())
    with pytest.raises(UserError, match=r"ann\.identity.*'Ann' was made for other weights"):
        load_identity(str(path), tiny)
    path.write_bytes(other.to_bytes()[:-1])
    with pytest.raises(UserError, match="truncated"):
        load_identity(str(path), tiny)


def test_a_picture_is_signed_with_the_key_that_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    drawer = load_model("default")
    silence = np.zeros(drawer.info.audio_past_samples + drawer.info.audio_lookahead_samples, np.float32)
    picture = drawer.renderer(drawer.default_identity(), runtime="torch-cpu").render(silence, None)
    path = tmp_path / "ann.png"
    Image.fromarray(picture).save(path)
    general = load_model("general")
    file = load_identity(str(path), general)
    assert file.public_key == KeyFolder(tmp_path / "talkface" / "identity").key().public_key
    # Equal pictures are equal files: a far end that has the face need not fetch it again.
    assert load_identity(str(path), general).content_hash() == file.content_hash()


def test_damaged_tuned_parts_are_refused_before_the_call(tiny: TalkfaceModel, tmp_path: Path) -> None:
    path = tmp_path / "me.tfid"
    identity = sign_sections(
        OwnerKey.generate(),
        {1: bytes(2 * tiny.info.latent_dim), 6: b"no tensors"},
        name="Ann",
        weights_sha256=tiny.info.weights_sha256,
        latent_dim=tiny.info.latent_dim,
        created=date(2026, 11, 26),
        is_synthetic=True,
        shows_real_person=False,
    )
    path.write_bytes(identity.to_bytes())
    with pytest.raises(UserError, match=r"--identity .*me\.tfid: packed tensors: version 110 is unknown"):
        load_identity(str(path), tiny)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--weights .*nowhere"):
        load_model(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("style", "kind"),
    [(StyleChoice.NONE, NoStyle), (StyleChoice.REFERENCE, ReferenceStyle), (StyleChoice.AUTO, ReferenceStyle)],
)
def test_style_of_a_recording_without_picture(tiny: TalkfaceModel, style: StyleChoice, kind: type) -> None:
    notes: list[str] = []
    options = SourceOptions(input=SPEECH, style=style)
    source = make_source(options, "tiny", tiny, MonotonicClock(), notes.append)
    assert isinstance(source.style, kind)
    assert notes == []


def test_weights_without_a_track_say_so(tiny: TalkfaceModel, tmp_path: Path) -> None:
    notes: list[str] = []
    assert own_style_track(str(tmp_path)) is None
    source = make_source(SourceOptions(input=SPEECH), str(tmp_path), tiny, MonotonicClock(), notes.append)
    assert isinstance(source.style, NoStyle)
    assert "by the sound alone" in notes[0]
    with pytest.raises(UserError, match="no recorded style"):
        make_source(
            SourceOptions(input=SPEECH, style=StyleChoice.REFERENCE),
            str(tmp_path),
            tiny,
            MonotonicClock(),
            notes.append,
        )


def test_track_beside_the_weights_is_found(tmp_path: Path) -> None:
    tiny_style_track().save(tmp_path / "style_track.safetensors")
    track = own_style_track(str(tmp_path))
    assert track is not None
    np.testing.assert_array_equal(track.values, tiny_style_track().values)


def test_demo_speech_ships_with_a_pause(tiny: TalkfaceModel) -> None:
    source = make_source(demo_call(DemoOptions()).source, "tiny", tiny, MonotonicClock(), lambda note: None)
    source.audio.open()
    blocks = []
    while (pcm := source.audio.read(4_800)) is not None:
        blocks.append(float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))))
    source.audio.close()
    assert len(blocks) >= 100, "ten seconds at least"
    loud = np.asarray(blocks) > 300
    first, last = np.flatnonzero(loud)[[0, -1]]
    pauses = "".join("x" if value else " " for value in loud[first:last]).split("x")
    assert max(len(pause) for pause in pauses) >= 12, "a pause of more than a second"


def test_cache_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert identity_cache_folder() == tmp_path / "talkface" / "identities"


class _SetClock:
    def __init__(self) -> None:
        self.us = 5_000_000

    def now_us(self) -> int:
        return self.us


def test_skewed_clock_is_fast_by_what_it_says() -> None:
    clock = _SetClock()
    skewed = SkewedClock(clock, 100.0)
    assert skewed.now_us() == clock.us
    clock.us += 900_000_000
    assert skewed.now_us() - clock.us == 90_000
