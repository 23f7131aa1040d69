"""`talkface edit`: directions from a clip, portraits, strips and films, on small random networks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from talkface.cli import edit as edit_command
from talkface.edit.directions import Semantic, save_directions
from talkface.edit.face_edit import (
    Clip,
    ClipFaces,
    GeneratorFace,
    ModelFace,
    directions_of,
    draw_strip,
    edited,
    film_frames,
    find_faces,
    invert_portrait,
    joined,
    pairs_of,
)
from talkface.edit.find import without_struck
from talkface.edit.inversion import InversionConfig
from talkface.errors import UserError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.model import load_face_model
from talkface_core.face.networks import seeded_networks
from talkface_core.interfaces import FaceIdentity
from talkface_core.style.session import portrait_points
from talkface_core.tracking.face_finder import FaceBox
from talkface_core.tracking.tracker import TrackedFace

GRID_CLIP = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "grid_s1"
SMALL = GeneratorConfig(resolution_px=16, latent_dim=32, channel_base=256, channel_max=8, mapping_layers=2)


class Pixels:
    """Pictures compared as they are."""

    name = "pixels"
    sees_everything = True

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [pictures]


class MovingFace:
    """A follower of a face whose mouth opens and whose nose turns; every tenth frame shows none."""

    def __init__(self) -> None:
        self._index = -1

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        self._index += 1
        if self._index % 10 == 9:
            return None
        g = np.random.default_rng(self._index)
        points = portrait_points() * 96
        points[65:68, 1] += g.uniform(0, 8)
        points[27:36, 0] += g.uniform(-6, 6)
        points = points.astype(np.float32)
        return TrackedFace(points, points, FaceBox(10, 10, 70, 70, 1.0), is_new=False)


def moving_clip(frames: int = 60) -> Clip:
    g = np.random.default_rng(0)
    sound = g.normal(0, 0.1, frames * 640).astype(np.float32)
    return Clip([g.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(frames)], sound)


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def face() -> ModelFace:
    return ModelFace(load_face_model("tiny"), runtime="torch-cpu")


@pytest.fixture(scope="module")
def faces(face: ModelFace) -> ClipFaces:
    return find_faces(face, moving_clip(), MovingFace(), quiet)


def test_frames_without_a_face_are_left_out_and_latents_are_e_plus_d(face: ModelFace, faces: ClipFaces) -> None:
    assert len(faces.frames) == 54
    assert faces.points.shape == (54, 68, 2)
    assert faces.latents is not None
    assert faces.latents.shape == (54, 512)
    networks = face.model.weights.networks
    session = face.model.style_encoder(MovingFace())
    clip = moving_clip()
    style = session.encode_frame(clip.frames[0])
    assert style is not None
    from talkface_core.sound.mel import MelWindow, frame_window

    mel = MelWindow()(frame_window(torch.from_numpy(clip.waveform), 0)[None])
    e = networks.audio_encoder.encode_mel(mel)
    d = networks.style_decoder(torch.from_numpy(style)[None])
    torch.testing.assert_close(faces.latents[0], (e + d)[0], rtol=1e-4, atol=1e-5)


def test_directions_are_differences_of_the_pairs(face: ModelFace, faces: ClipFaces) -> None:
    pairs = pairs_of(faces, list(Semantic), 4)
    assert set(pairs) == {Semantic.MOUTH, Semantic.HEAD}  # the eyes never close
    found = directions_of(face, faces, pairs, None, InversionConfig(steps=1), quiet)
    assert faces.latents is not None
    for semantic, chosen in pairs.items():
        expected = torch.stack([faces.latents[p.high] - faces.latents[p.low] for p in chosen]).mean(0)
        torch.testing.assert_close(found[semantic], expected)


def test_clips_of_one_person_join(faces: ClipFaces) -> None:
    both = joined([faces, faces])
    assert len(both.frames) == len(both.points) == 108
    assert faces.latents is not None
    assert both.latents is not None
    torch.testing.assert_close(both.latents[54:], faces.latents)
    assert joined([ClipFaces([], np.zeros((0, 68, 2)), None)]).latents is None


def test_an_official_generator_inverts_the_pairs(faces: ClipFaces) -> None:
    generator = seeded_networks(SMALL, 0).generator
    face = GeneratorFace(generator)
    plain = ClipFaces(faces.frames, faces.points, None)
    pairs = pairs_of(plain, [Semantic.MOUTH], 2)
    with pytest.raises(ValueError, match="no encoders"):
        directions_of(face, plain, pairs, None, InversionConfig(), quiet)
    config = InversionConfig(steps=3)
    told: list[tuple[str, int, int]] = []
    found = directions_of(face, plain, pairs, Pixels(), config, lambda *a: told.append(a))
    assert found[Semantic.MOUTH].shape == (32,)
    assert told[-1] == ("inverting frames", 4, 4)
    assert face.draw(face.start).shape == (16, 16, 3)


def test_a_portrait_is_inverted_with_the_silence_taken_off(face: ModelFace) -> None:
    """The picture that the model draws at rest leads back to its own latent."""
    points = portrait_points() * 64
    config = InversionConfig(steps=2, lr=0.0, initial_noise=0.0)
    found = invert_portrait(face, face.draw(face.start), points, Pixels(), config, quiet)
    np.testing.assert_allclose(found.identity.z, face.start.z, atol=1e-6)


def test_strip_goes_from_minus_to_plus_and_the_film_starts_at_rest(face: ModelFace) -> None:
    g = torch.Generator().manual_seed(0)
    directions = {s: 0.3 * torch.randn(512, generator=g) for s in (Semantic.MOUTH, Semantic.EYES)}
    strip = draw_strip(face, face.start, directions, 2.0, 5)
    assert strip.shape == (128, 320, 3)
    rest = face.draw(face.start)
    np.testing.assert_array_equal(strip[:64, 128:192], rest)
    np.testing.assert_array_equal(strip[64:, :64], face.draw(edited(face.start, directions[Semantic.EYES], -2.0)))
    assert (strip[:64, :64] != strip[:64, 256:]).any()
    frames = film_frames(face, face.start, directions, 2.0, 5.0)
    assert len(frames) == 30
    np.testing.assert_array_equal(frames[0], rest)


def test_offsets_stay_while_z_moves() -> None:
    identity = FaceIdentity(np.zeros(4, np.float32), np.ones((2, 4), np.float32))
    moved = edited(identity, torch.ones(4), 0.5)
    np.testing.assert_array_equal(moved.z, np.full(4, 0.5, np.float32))
    assert moved.layer_offsets is identity.layer_offsets


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.callback()(lambda: None)
    edit_command.register(app)
    result = CliRunner().invoke(app, ["edit", "--weights", "tiny", "--runtime", "torch-cpu", *arguments])
    return result.exit_code, result.output, result.exception


def test_command_writes_strip_and_film(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    save_directions(path, {Semantic.MOUTH: torch.randn(512), Semantic.HEAD: torch.randn(512)})
    strip, film = tmp_path / "new" / "strip.png", tmp_path / "film.mp4"
    files = ["--output", str(strip), "--film", str(film)]
    code, output, error = run("--directions", str(path), "--semantic", "head", *files)
    assert code == 0, error
    assert "rows head, from -1 to +1" in output
    with Image.open(strip) as image:
        assert image.size == (7 * 64, 64)
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 75


def test_what_cannot_be_done_is_named(tmp_path: Path) -> None:
    for arguments, message in (
        ([], "--from-video or --directions"),
        (["--semantic", "nose"], "hoose among mouth, eyes, head"),
        (["--directions", str(tmp_path / "absent")], "cannot read the directions"),
        (["--from-video", str(tmp_path / "absent.mp4")], "does not exist"),
        (["--generator", str(tmp_path / "absent.pkl")], "check the path"),
        (["--steps", "5", "--portrait", str(tmp_path / "absent.png")], "--from-video or --directions"),
    ):
        code, _, error = run(*arguments)
        assert code != 0
        assert isinstance(error, UserError), error
        assert message in str(error), error
    path, picture = tmp_path / "d.safetensors", tmp_path / "p.png"
    save_directions(path, {Semantic.MOUTH: torch.randn(512)})
    picture.write_bytes(b"no picture")
    for arguments, message in (
        (["--portrait", str(picture)], "is not a picture"),
        (["--semantic", "eyes"], "holds none of eyes"),
    ):
        _, _, error = run("--directions", str(path), *arguments)
        assert isinstance(error, UserError)
        assert message in str(error)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    _, _, error = run("--directions", str(path), "--portrait", str(picture))
    assert isinstance(error, UserError)
    assert "shows no face" in str(error)


def test_pairs_can_be_left_out_by_number() -> None:
    pairs = {Semantic.MOUTH: [object(), object(), object()]}
    first, _, third = pairs[Semantic.MOUTH]
    assert without_struck(pairs, ("mouth:2",)) == {Semantic.MOUTH: [first, third]}  # type: ignore[arg-type]
    for entry in ("mouth:4", "mouth:0", "eyes:1", "mouth", "mouth:x"):
        with pytest.raises(UserError, match="names no pair"):
            without_struck(pairs, (entry,))  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.skipif(not GRID_CLIP.exists(), reason="needs the shared data folder")
def test_real_video_gives_mouth_pairs_and_a_contact_sheet(tmp_path: Path) -> None:
    clip = sorted(GRID_CLIP.glob("*.mp4"))[0]
    saved = tmp_path / "d.safetensors"
    arguments = ["--from-video", str(clip), "--semantic", "mouth", "--sheets", str(tmp_path / "sheets")]
    code, output, error = run(*arguments, "--save-directions", str(saved), "--output", str(tmp_path / "s.png"))
    assert code == 0, (output, error)
    assert saved.exists()
    with Image.open(tmp_path / "sheets" / "mouth.png") as sheet:
        assert sheet.size[1] == 256
        assert sheet.size[0] >= 3 * 128
