"""Identities on disk: by hash, whole or not at all, bounded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from receiver.errors import ReceiverError
from receiver.identity_store import SUFFIX, IdentityStore, identity_for_model


def test_identity_comes_back_as_it_was(kit: ModuleType, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "cache" / "identities")
    identity = kit.make_identity()
    assert store.load(identity.content_hash()) is None
    store.save(identity)
    loaded = IdentityStore(store.folder).load(identity.content_hash())
    assert loaded is not None
    assert loaded.to_bytes() == identity.to_bytes()
    assert not list(store.folder.glob("*.partial"))


def test_damaged_file_is_removed(kit: ModuleType, tmp_path: Path) -> None:
    store, identity = IdentityStore(tmp_path), kit.make_identity()
    path = store.save(identity)
    path.write_bytes(path.read_bytes()[:-1])
    assert store.load(identity.content_hash()) is None
    assert not path.exists()


def test_file_under_a_wrong_name_is_removed(kit: ModuleType, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    path = store.save(kit.make_identity())
    wrong = path.with_name("0" * 64 + SUFFIX)
    path.rename(wrong)
    assert store.load("0" * 64) is None
    assert not wrong.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", "0" * 63])
def test_only_a_hash_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        IdentityStore(tmp_path).load(name)


def test_least_recently_used_gives_way(kit: ModuleType, tmp_path: Path) -> None:
    identities = [kit.make_identity(level) for level in (1.0, 2.0, 3.0)]
    size = len(identities[0].to_bytes())
    store = IdentityStore(tmp_path, max_bytes=2 * size)
    for age_s, identity in zip((100, 200), identities, strict=False):
        path = store.save(identity)
        os.utime(path, (1e9 - age_s, 1e9 - age_s))
    assert store.load(identities[1].content_hash()) is not None  # used just now
    store.save(identities[2])
    held = [store.load(identity.content_hash()) is not None for identity in identities]
    assert held == [False, True, True]


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReceiverError, match="--cache-folder"):
        IdentityStore(tmp_path / "file" / "identities")


def test_arrays_for_the_model(kit: ModuleType) -> None:
    info = kit.ChartModel().info
    face = identity_for_model(kit.make_identity(3.5), info)
    np.testing.assert_array_equal(face.z, np.full(8, 3.5, dtype=np.float32))
    assert face.layer_offsets is None


def test_identity_of_another_model_is_refused(kit: ModuleType) -> None:
    info = kit.ChartModel().info
    with pytest.raises(ReceiverError, match="other weights"):
        identity_for_model(kit.make_identity(weights_sha256="cd" * 32), info)
    with pytest.raises(ReceiverError, match="has 8 values, not 16"):
        identity_for_model(kit.make_identity(), replace(info, latent_dim=16))
