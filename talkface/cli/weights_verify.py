"""What `talkface weights verify` looks at: every file that a call, `edit`, `evaluate` or training takes from weights.

face model      config.json, shards, style tables, style track, directions: read as a call and `edit` read them
our networks    the small ones that ship beside the face models
third party     the one file, against the pinned sha256
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from talkface.errors import UserError
from talkface.weights_fetch import THIRD_PARTY, sha256_of

OUR_NETWORKS = "networks"
"""Stands for all the small networks of ours, which have no names that a user gives."""


def names_here(folder: Path) -> list[str]:
    """Everything that can be verified on this machine.

    Args:
        folder: where third-party weights are.
    """
    from talkface_core.shipped_weights import SHIPPED_WEIGHTS, shipped_weights_folder

    models = [name for name in SHIPPED_WEIGHTS if (shipped_weights_folder(name) / "config.json").exists()]
    return [*models, OUR_NETWORKS, *(w.name for w in THIRD_PARTY.values() if (folder / w.file_name).exists())]


def with_what_they_need(names: list[str]) -> list[str]:
    """Calls and `edit` with a face model take our networks too: they find the face and follow it."""
    needs = any(name not in THIRD_PARTY for name in names) and OUR_NETWORKS not in names
    return [*names, OUR_NETWORKS] if needs else names


def verify(name: str, folder: Path) -> str:
    """What is whole, in words.

    Raises:
        UserError: something is missing or damaged; the message names the file and the fix.
    """
    from talkface_core.errors import CoreError

    if name in THIRD_PARTY:
        return _verify_third_party(name, folder)
    try:
        return "ok, " + ", ".join(_our_networks() if name == OUR_NETWORKS else _face_model(name))
    except (CoreError, OSError) as error:
        raise UserError(f"{name}: {error}") from error


def _face_model(name: str) -> Iterator[str]:
    from talkface.edit.directions import load_directions
    from talkface_core.face.model import load_face_model, weights_folder
    from talkface_core.style.track import StyleTrack
    from talkface_core.weights import DIRECTIONS_NAME, STYLE_TRACK_NAME

    info = load_face_model(name).info
    yield f"{info.name}, {info.resolution_px} px, sha256 {info.weights_sha256[:12]}…"
    if name == "tiny":
        return
    path = weights_folder(name)
    folder = path if path.is_dir() else path.parent
    if (folder / STYLE_TRACK_NAME).exists():
        yield f"style track of {StyleTrack.load(folder / STYLE_TRACK_NAME).duration_s:.0f} s"
    if (folder / DIRECTIONS_NAME).exists():
        found = load_directions(folder / DIRECTIONS_NAME, info.latent_dim)
        yield f"directions for {', '.join(sorted(semantic.value for semantic in found))}"


def _our_networks() -> Iterator[str]:
    from talkface_core.judges.efficientnet import load_efficientnet
    from talkface_core.judges.face_recognition import load_face_recogniser
    from talkface_core.tracking.face_finder import load_finder_net
    from talkface_core.tracking.landmarks import load_landmark_net
    from training.lip_expert.network import load_lip_expert

    load_finder_net()
    yield "face finder"
    load_landmark_net()
    yield "landmarks"
    load_face_recogniser()
    yield "face recogniser"
    load_efficientnet()
    yield "EfficientNet-Lite0"
    load_lip_expert()
    load_lip_expert("lip_expert_judge")
    yield "lip experts"


def _verify_third_party(name: str, folder: Path) -> str:
    weights = THIRD_PARTY[name]
    path = folder / weights.file_name
    digest = sha256_of(path)
    if digest != weights.sha256:
        raise UserError(
            f"{path} is damaged or another release: sha256 {digest[:12]}…, expected {weights.sha256[:12]}…",
            f"delete it and run `talkface weights fetch {name}`",
        )
    return f"ok, sha256 {digest[:12]}…"
