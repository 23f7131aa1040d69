"""More expressions and head poses than the pictures show: `python -m training.landmarks.warp --help`.

The stills look straight ahead with calm faces, the clips show few people. So the motion of one goes onto the other:
the 3D mesh of a still takes the expression of a clip frame (as a difference from that person's mean, in a common
pose), turns, and the picture follows by a thin-plate spline through the mesh points (Bookstein, 1989). The label is
the moved mesh itself.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from talkface_core.output_path import output_folder
from talkface_core.whole_file import written_beside
from training.data.face_mesh import (
    RIGID_POINTS,
    ExpressionBank,
    Mesh,
    canonical_meshes,
    control_indices,
    fit_similarity,
)
from training.data.moving_still import turn
from training.data.thin_plate import thin_plate_grid
from training.landmarks.label import TILE_PX, save_arrays


def border_points(num_a_side: int = 7) -> Mesh:
    """[4 * num_a_side, 2] points on the border of the tile, which stay."""
    line = np.linspace(-1, 1, num_a_side + 1)[:-1]
    ones = np.ones_like(line)
    return np.concatenate([np.stack(p, axis=1) for p in ((line, -ones), (ones, line), (-line, ones), (-ones, -line))])


def warp_tile(
    rng: np.random.Generator, tile: NDArray[np.uint8], mesh: Mesh, reference: Mesh, expression: Mesh
) -> tuple[NDArray[np.uint8], Mesh]:
    """One tile [256, 256, 4] with another expression and pose, and its mesh."""
    rigid = list(RIGID_POINTS)
    scale, rotation, _ = fit_similarity(reference[rigid], mesh[rigid])
    yaw, pitch = rng.normal(0, 0.28), rng.normal(0, 0.18)
    extra = turn(float(np.clip(yaw, -0.6, 0.6)), float(np.clip(pitch, -0.4, 0.4)))
    centre = mesh.mean(axis=0)
    moved = (mesh - centre + scale * expression @ rotation.T) @ extra.T + centre
    chosen = control_indices(rng)
    to_unit = 2 / TILE_PX
    border = border_points()
    ground = np.concatenate([moved[chosen, :2] * to_unit - 1, border])
    origin = np.concatenate([mesh[chosen, :2] * to_unit - 1, border])
    grid = thin_plate_grid(ground, origin, side=72).permute(2, 0, 1)[None]
    grid = F.interpolate(grid, size=(TILE_PX, TILE_PX), mode="bicubic", align_corners=False)
    picture = torch.from_numpy(tile.copy()).permute(2, 0, 1)[None].float()
    warped = F.grid_sample(picture, grid.permute(0, 2, 3, 1), mode="bilinear", align_corners=False)
    return warped[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy(), moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--faces", type=output_folder, required=True, help="folder of training.landmarks.label; also written to"
    )
    parser.add_argument("--stills", default="stills", help="shard whose faces are moved")
    parser.add_argument("--copies", type=int, default=3, help="moved versions of each still")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    stills = np.load(args.faces / f"faces_{args.stills}.npz")
    tiles = np.load(args.faces / f"tiles_{args.stills}.npy", mmap_mode="r")
    meshes = stills["meshes"].astype(np.float64)
    reference = canonical_meshes(meshes[:400], meshes[0]).mean(axis=0)
    paths = [p for p in args.faces.glob("faces_*.npz") if p.stem not in {f"faces_{args.stills}", "faces_warped"}]
    clips = [np.load(path) for path in sorted(paths)]
    bank = ExpressionBank.of_people(
        np.concatenate([c["meshes"] for c in clips]).astype(np.float64),
        np.concatenate([c["blendshapes"] for c in clips]),
        np.concatenate([c["people"] for c in clips]),
        reference,
    )
    out_tiles = np.empty((len(tiles) * args.copies, *tiles.shape[1:]), dtype=np.uint8)
    out_meshes = np.empty((len(out_tiles), *meshes.shape[1:]), dtype=np.float32)
    for index in range(len(out_tiles)):
        source = index % len(tiles)
        out_tiles[index], out_meshes[index] = warp_tile(rng, tiles[source], meshes[source], reference, bank.draw(rng))
        if index % 200 == 0:
            print(f"{index} of {len(out_tiles)}", flush=True)
    with written_beside(args.faces / "tiles_warped.npy") as partial, partial.open("wb") as file:
        np.save(file, out_tiles)
    save_arrays(
        args.faces / "faces_warped.npz",
        meshes=out_meshes,
        blendshapes=np.zeros((len(out_tiles), 52), dtype=np.float32),
        people=np.array(["synthetic_warped"] * len(out_tiles)),
    )


if __name__ == "__main__":
    main()
