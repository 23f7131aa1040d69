"""Sound of files: any rate and layout, placed by its timestamps, bounded memory, clear errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from numpy.typing import NDArray

from sender.errors import NoAudioError, SourceError, UnreadableMediaError
from sender.sources.file_audio import FileAudio, mix_to_mono, read_all

Media = Callable[..., Path]


def click_at(seconds: float, rate: int, length_s: float = 2.0) -> NDArray[np.float64]:
    """Silence with a short burst whose loudest sample is at `seconds`."""
    time = np.arange(int(length_s * rate)) / rate - seconds
    return 0.8 * np.exp(-((time / 0.001) ** 2)) * np.cos(2 * np.pi * 1000 * time)


def loudest_s(pcm: NDArray[np.int16]) -> float:
    return int(np.abs(pcm.astype(np.int32)).argmax()) / 48_000


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_sample_rates(tmp_path: Path, media: Media, rate: int) -> None:
    pcm = read_all(media(tmp_path / "a.wav", audio=click_at(1.25, rate), rate=rate))
    assert abs(loudest_s(pcm) - 1.25) < 2e-4
    assert abs(len(pcm) - 2 * 48_000) <= 48_000  # read_all fills the last second
    assert 0.7 < np.abs(pcm).max() / 32767 < 0.9


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "2.1", "quad"])
def test_layouts_are_mixed_without_clipping_or_vanishing(tmp_path: Path, media: Media, layout: str) -> None:
    pcm = read_all(media(tmp_path / "a.wav", audio=0.4 * click_at(0.5, 48_000), layout=layout))
    assert abs(loudest_s(pcm) - 0.5) < 1e-4
    assert 0.2 < np.abs(pcm).max() / 32767 <= 1.0


@pytest.mark.parametrize(
    ("name", "codec", "sample_format"),
    [
        ("a.wav", "pcm_u8", "u8"),
        ("a.wav", "pcm_s32le", "s32"),
        ("a.wav", "pcm_f32le", "flt"),
        ("a.flac", "flac", "s16"),
        ("a.mp4", "aac", "fltp"),
        ("a.ogg", "libopus", "s16"),
        ("a.mp3", "libmp3lame", "s16p"),
    ],
)
def test_codecs_and_sample_formats(tmp_path: Path, media: Media, name: str, codec: str, sample_format: str) -> None:
    path = media(tmp_path / name, audio=click_at(1.0, 48_000), audio_codec=codec, sample_format=sample_format)
    assert abs(loudest_s(read_all(path)) - 1.0) < 2e-3


def test_surround_centre_is_heard_and_lfe_is_not(tmp_path: Path, media: Media) -> None:
    channels = np.zeros((6, 48_000))
    channels[2] = click_at(0.25, 48_000, 1.0)  # FC
    channels[3] = click_at(0.75, 48_000, 1.0)  # LFE
    pcm = read_all(media(tmp_path / "a.wav", audio=channels, layout="5.1"))
    assert abs(loudest_s(pcm) - 0.25) < 1e-4
    assert np.abs(pcm[30_000:]).max() == 0


def test_a_gap_in_the_timestamps_is_silence_of_its_length(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.mkv", audio=click_at(1.5, 48_000), gap_at_s=1.0, gap_s=0.5)
    assert abs(loudest_s(read_all(path)) - 2.0) < 2e-3


def test_a_jump_in_the_timestamps_is_no_silence(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.mkv", audio=click_at(1.5, 48_000), gap_at_s=1.0, gap_s=5000.0)
    pcm = read_all(path)
    assert abs(loudest_s(pcm) - 1.5) < 2e-3
    assert len(pcm) <= 3 * 48_000


@pytest.mark.parametrize("jump_s", [-0.5, -50.0])
def test_timestamps_that_run_back(tmp_path: Path, media: Media, monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    """An overlap of half a second is cut away; a stream that begins again at zero goes on."""
    source = FileAudio(media(tmp_path / "a.wav", audio=click_at(1.7, 48_000)))
    frames = source._frames

    def jumping(container: InputContainer) -> Iterator[av.AudioFrame]:
        for frame in frames(container):
            assert frame.pts is not None
            frame.pts += round(jump_s * 48_000) if frame.pts >= 48_000 else 0
            yield frame

    monkeypatch.setattr(source, "_frames", jumping)
    source.open()
    pcm = source.read(4 * 48_000)
    source.close()
    assert pcm is not None
    assert abs(loudest_s(pcm) - (1.2 if jump_s == -0.5 else 1.7)) < 0.03


def test_sound_that_starts_after_the_picture_stays_late(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.mkv", audio=click_at(0.5, 48_000), audio_start_s=0.7, num_pictures=50)
    assert abs(loudest_s(read_all(path)) - 1.2) < 2e-3


def test_any_read_size_gives_the_same_sound(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.wav", audio=np.random.default_rng(0).normal(size=44_100) * 0.1, rate=44_100)
    whole = read_all(path)
    source = FileAudio(path)
    source.open()
    parts = []
    while (part := source.read(2880)) is not None:
        parts.append(part)
    source.close()
    joined = np.concatenate(parts)
    np.testing.assert_array_equal(joined[:48_000], whole[:48_000])
    assert not joined[48_000:].any()
    assert len(joined) == 17 * 2880


def test_a_loop_has_the_period_of_the_file(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.mp4", audio=click_at(0.5, 48_000, 1.2), audio_codec="aac", sample_format="fltp")
    source = FileAudio(path, loop=True)
    source.open()
    assert source.info is not None
    period = source.info.duration_ticks
    assert period is not None
    pcm = np.concatenate([part for _ in range(300) if (part := source.read(960)) is not None])
    source.close()
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 18_000)
    clicks = [int(loud[0])] + [int(b) for a, b in itertools.pairwise(loud) if b - a > 4800]
    assert len(clicks) >= 4
    assert all(abs(gap - period) <= 2 for gap in np.diff(clicks))


def test_the_end_is_none_again_and_again(tmp_path: Path, media: Media) -> None:
    source = FileAudio(media(tmp_path / "a.wav", audio=np.zeros(4800)))
    source.open()
    assert source.read(4800) is not None
    assert source.read(4800) is None
    assert source.read(4800) is None
    source.close()
    source.close()


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("no recording at all\n" * 100)


def write_zeros(path: Path) -> None:
    path.write_bytes(bytes(10_000))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (write_empty, "is empty"),
        (write_text, "not a recording"),
        (write_zeros, "not a recording"),
        (Path.mkdir, "folder"),
    ],
)
def test_what_is_no_recording_is_said_in_words(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "input.mp4"
    make(path)
    with pytest.raises(UnreadableMediaError, match=words) as caught:
        FileAudio(path).open()
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMediaError, match="does not exist"):
        FileAudio(tmp_path / "none.wav").open()


def test_a_file_without_sound(tmp_path: Path, media: Media) -> None:
    with pytest.raises(NoAudioError, match="holds no sound"):
        FileAudio(media(tmp_path / "a.mp4", num_pictures=5)).open()


def test_a_truncated_file_plays_as_far_as_it_goes_or_is_refused(tmp_path: Path, media: Media) -> None:
    path = media(
        tmp_path / "a.mkv", audio=np.sin(np.arange(96_000) / 20) * 0.5, audio_codec="aac", sample_format="fltp"
    )
    data = path.read_bytes()
    played = 0
    for share in (0.01, 0.1, 0.3, 0.6, 0.9, 0.99):
        path.write_bytes(data[: int(share * len(data))])
        try:
            played += len(read_all(path)) > 0
        except SourceError:
            pass
    assert played >= 3


def test_random_damage_never_does_more_than_raise_a_source_error(tmp_path: Path, media: Media) -> None:
    path = media(
        tmp_path / "a.mkv", audio=np.sin(np.arange(48_000) / 20) * 0.5, audio_codec="aac", sample_format="fltp"
    )
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(25):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 30):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged)
        source = FileAudio(path)
        try:
            source.open()
            for _ in range(200):
                if source.read(2880) is None:
                    break
        except SourceError:
            pass
        finally:
            source.close()


def test_mixing_keeps_planar_and_packed_apart() -> None:
    left, right = np.full(10, 0.5, np.float32), np.full(10, -0.25, np.float32)
    planar = av.AudioFrame.from_ndarray(np.stack([left, right]), format="fltp", layout="stereo")
    packed = av.AudioFrame.from_ndarray(np.stack([left, right], axis=1).reshape(1, -1), format="flt", layout="stereo")
    for frame in (planar, packed):
        np.testing.assert_allclose(mix_to_mono(frame), 0.125, atol=1e-6)


@pytest.mark.shared
def test_a_real_recording_with_sound_that_starts_late() -> None:
    path = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "people" / "video-retalking__1.mp4"
    if not path.exists():
        pytest.skip("no shared data beside the checkout")
    assert abs(len(read_all(path)) / 48_000 - 6.133) < 1.0
