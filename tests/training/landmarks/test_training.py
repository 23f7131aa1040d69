"""Making training crops and scenes: labels follow the pictures, losses match their formulas."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.tracking.face_finder import STRIDE, FinderOutput, decode_boxes
from talkface_core.tracking.landmarks import CODE_VERSION, LandmarkNet, LandmarkOutput, load_landmark_net
from training.data.face_mesh import MESH_TO_68, NUM_MESH_POINTS
from training.landmarks.data import LandmarkBatch, LandmarkCrops, balance
from training.landmarks.face_training import Asset, FaceTraining, begin, train_on_faces
from training.landmarks.finder_data import FinderScenes, covers_any, make_targets
from training.landmarks.finder_train import centre_focal_loss
from training.landmarks.label import TILE_FACTOR, TILE_PX, cut_tile
from training.landmarks.textures import scramble, texture_pool
from training.landmarks.train import LOSS_WEIGHTS, heatmap_divergence, landmark_losses, point_weights
from training.landmarks.warp import fit_similarity, thin_plate_grid, turn
from training.small_nets.run import SmallRun


def synthetic_mesh(rng: np.random.Generator) -> np.ndarray:
    """A mesh whose 68 points fill the middle of a tile."""
    mesh = np.zeros((NUM_MESH_POINTS, 3), dtype=np.float32)
    half = TILE_PX / TILE_FACTOR / 2
    mesh[:, :2] = rng.uniform(-half, half, (NUM_MESH_POINTS, 2)) + TILE_PX / 2
    mesh[MESH_TO_68[0], :2], mesh[MESH_TO_68[16], :2] = TILE_PX / 2 - half, TILE_PX / 2 + half
    return mesh


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder as `training.landmarks.label` writes it: dark tiles with a bright spot at point 30 (the nose's tip)."""
    rng = np.random.default_rng(0)
    tiles = np.full((6, TILE_PX, TILE_PX, 4), 20, dtype=np.uint8)
    tiles[..., 3] = 255
    meshes = np.stack([synthetic_mesh(rng) for _ in tiles])
    for tile, mesh in zip(tiles, meshes, strict=True):
        mesh[MESH_TO_68[30], :2] = TILE_PX / 2
        x, y = mesh[MESH_TO_68[30], :2].astype(int)
        tile[y - 5 : y + 5, x - 5 : x + 5, :3] = 255
    np.save(tmp_path / "tiles_some.npy", tiles)
    people = np.array(["a", "a", "b", "synthetic", "synthetic", "synthetic"])
    np.savez(tmp_path / "faces_some.npz", meshes=meshes, blendshapes=np.zeros((6, 52)), people=people)
    return tmp_path


def test_crops_show_a_point_where_the_label_says(faces: Path) -> None:
    source = LandmarkCrops(faces, seed=1, num_textures=8)
    num_checked = 0
    for _ in range(3):
        batch = source.batch(32)
        assert batch.crops.shape == (32, 3, 128, 128)
        assert float(batch.crops.abs().max()) <= 1
        for crop, points, framing in zip(batch.crops, batch.points, batch.framing, strict=True):
            x, y = ((points[30] + 1) * 64).long().tolist()
            if int(framing) != 2 or not (8 <= x < 120 and 8 <= y < 120):
                continue
            around = crop[:, y - 2 : y + 3, x - 2 : x + 3].mean()
            num_checked += bool(around > crop.median() + 0.1)
    assert num_checked > 50  # a few are hidden, blurred or black


def test_same_seed_same_batch(faces: Path) -> None:
    first, second = (LandmarkCrops(faces, seed=3, num_textures=4).batch(4) for _ in range(2))
    torch.testing.assert_close(first.crops, second.crops)


def test_no_shards_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"training\.landmarks\.label"):
        LandmarkCrops(tmp_path, seed=0)


def test_scenes_hold_the_faces_of_their_maps(faces: Path) -> None:
    source = FinderScenes(faces, seed=0, num_textures=8)
    batch = source.batch(12)
    assert float(batch.centre_mask.sum()) >= 3
    assert bool((batch.heat[batch.centre_mask > 0] == 1).all())
    assert bool(batch.scenes.isfinite().all())


def test_finder_targets_decode_to_the_boxes() -> None:
    boxes = torch.tensor([[[40.0, 60.0, 30.0, 50.0], [0.0, 0.0, 0.0, 0.0], [300.0, 10.0, 20.0, 20.0]]])
    target = make_targets(torch.zeros(1, 3, 192, 192), boxes)
    logits = torch.logit(target.heat.clamp(1e-4, 1 - 1e-4))
    (box,) = decode_boxes(FinderOutput(logits, target.log_size, target.offset), 0.9)
    assert (box.x, box.y, box.width, box.height) == pytest.approx((40, 60, 30, 50), abs=1e-3)
    assert int(target.centre_mask.sum()) == 1  # nothing for width 0 or a centre outside
    row, column = torch.nonzero(target.centre_mask[0, 0])[0].tolist()
    assert (row, column) == (85 // STRIDE, 55 // STRIDE)


def test_focal_loss_equals_the_formula() -> None:
    logits, heat = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.4, 0.0]])
    mask = torch.tensor([[1.0, 0.0, 0.0]])
    p = [1 / (1 + math.exp(-v)) for v in (0.3, -1.0, 2.0)]
    expected = -((1 - p[0]) ** 2) * math.log(p[0])
    expected -= (1 - 0.4) ** 4 * p[1] ** 2 * math.log(1 - p[1]) + p[2] ** 2 * math.log(1 - p[2])
    assert float(centre_focal_loss(logits, heat, mask)) == pytest.approx(expected, rel=1e-5)


def test_faces_do_not_cover_each_other() -> None:
    boxes = torch.tensor([[[50.0, 50.0, 40.0, 40.0]], [[50.0, 50.0, 0.0, 0.0]]])
    box = torch.tensor([[80.0, 80.0, 30.0, 30.0]]).expand(2, 4)
    assert covers_any(box, boxes).tolist() == [True, False]


def _output(points: torch.Tensor, log_heat: torch.Tensor) -> LandmarkOutput:
    return LandmarkOutput(points, torch.zeros(len(points), 3), log_heat)


def test_point_loss_counts_only_points_inside_and_known() -> None:
    truth = torch.rand(2, 68, 2) - 0.5
    truth[0, 0] = 3.0  # outside the crop
    guess = truth + 0.1
    guess[0, 0] = 0.0
    uniform = torch.full((2, 68, 8, 8), -math.log(64))
    batch = LandmarkBatch(torch.zeros(2, 3, 32, 32), truth, torch.tensor([2, 0]), torch.tensor([1.0, 0.0]))
    losses = landmark_losses(_output(guess, uniform), batch, torch.ones(68))
    size = float((truth[0].amax(dim=0) - truth[0].amin(dim=0)).max())
    assert float(losses["loss/points"]) == pytest.approx(0.2 / size, rel=1e-4)


def test_heatmap_divergence_of_a_flat_map_is_its_log_cells_and_least_at_the_point() -> None:
    points = torch.tensor([[[0.1, -0.3]]])
    flat = torch.full((1, 1, 16, 16), -math.log(256))
    assert float(heatmap_divergence(flat, points)) == pytest.approx(math.log(256), rel=1e-5)
    axis = (torch.arange(16) * 2 + 1) / 16 - 1
    right = -((axis[None, :] - 0.1) ** 2 + (axis[:, None] + 0.3) ** 2) * 32
    wrong = -((axis[None, :] + 0.1) ** 2 + (axis[:, None] + 0.3) ** 2) * 32
    good, bad = (m.flatten().log_softmax(0).view(1, 1, 16, 16) for m in (right, wrong))
    assert float(heatmap_divergence(good, points)) < float(heatmap_divergence(bad, points))


def test_points_weigh_one_on_average() -> None:
    assert float(point_weights().mean()) == pytest.approx(1.0)


def test_tile_shows_the_face_with_a_mask_of_the_picture() -> None:
    picture = np.zeros((100, 120, 3), dtype=np.uint8)
    picture[40:60, 0:20] = 200
    points = np.array([[0, 40], [20, 60]], dtype=np.float32).repeat(34, axis=0)
    tile, scale, x, y = cut_tile(picture, points)
    assert tile.shape == (TILE_PX, TILE_PX, 4)
    assert scale == pytest.approx(TILE_PX / (20 * TILE_FACTOR))
    u, v = ((np.array([10, 50]) - (x, y)) * scale).astype(int)
    assert tile[v, u, 0] > 190
    assert tile[v, 2, 3] == 0  # left of the picture
    assert tile[v, u, 3] == 255


def test_balance_gives_every_person_a_say() -> None:
    people = np.array(["a"] * 100 + ["b"] * 4 + ["synthetic"] * 10)
    weights = balance(people)
    assert weights.sum() == pytest.approx(1)
    assert weights[people == "synthetic"].sum() == pytest.approx(0.6)
    assert weights[people == "a"].sum() == pytest.approx(5 * weights[people == "b"].sum())


def test_textures_and_scramble() -> None:
    rng = np.random.default_rng(0)
    pool = texture_pool(rng, 6, [])
    assert pool.dtype == np.uint8
    assert all(np.ptp(texture) > 0 for texture in pool)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mixed = scramble(rng, picture)
    assert not np.array_equal(mixed, picture)
    np.testing.assert_array_equal(np.sort(mixed, axis=None), np.sort(picture, axis=None))


def test_similarity_is_recovered() -> None:
    rng = np.random.default_rng(0)
    source, rotation = rng.normal(size=(19, 3)), turn(0.3, -0.2)
    target = 2.5 * source @ rotation.T + [1, 2, 3]
    scale, found, shift = fit_similarity(source, target)
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)


def test_thin_plate_maps_control_points_back() -> None:
    rng = np.random.default_rng(0)
    original = rng.uniform(-0.8, 0.8, (30, 2))
    moved = original + rng.normal(0, 0.03, (30, 2))
    grid = thin_plate_grid(moved, original, side=200)
    for ground, source in zip(moved, original, strict=True):
        column, row = ((ground + 1) * 100).astype(int)
        np.testing.assert_allclose(grid[row, column].numpy(), source, atol=0.03)


def test_a_run_saves_state_and_weights_and_goes_on(faces: Path, tmp_path: Path) -> None:
    given = FaceTraining(
        faces=faces, out=tmp_path / "net.safetensors", state=tmp_path / "s.pt", minutes=0.02, batch=2, lr=1e-3, seed=0
    )
    asset = Asset("landmarks", CODE_VERSION, LandmarkNet().config)

    def train(options: FaceTraining) -> SmallRun:
        net = LandmarkNet()
        run = begin(net, options)
        source = LandmarkCrops(faces, seed=run.num_steps, num_textures=4)
        train_on_faces(
            run, source, lambda b: landmark_losses(net(b.crops), b, point_weights()), LOSS_WEIGHTS, options, asset
        )
        return run

    first = train(given)
    assert first.num_steps >= 1
    assert first.average is not None
    shipped = load_landmark_net(str(given.out)).state_dict()
    for name, tensor in first.average.state_dict().items():
        torch.testing.assert_close(shipped[name], tensor, atol=1e-3, rtol=1e-3)
    assert train(given).num_steps == first.num_steps  # the time was up
    again = begin(LandmarkNet(), dataclasses.replace(given, fresh_schedule=True))
    assert (again.num_steps, again.spent_s) == (first.num_steps, 0.0)
