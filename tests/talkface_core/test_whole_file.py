"""A file is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkface_core.whole_file import write_whole


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"old and longer", b"new"):
        write_whole(tmp_path / "f", content)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"new")]


def test_a_full_disk_leaves_the_earlier_file_and_nothing_beside(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    write_whole(tmp_path / "f", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing past it fails as on a full disk
    try:
        with pytest.raises(OSError):  # noqa: PT011 (its text is the system's)
            write_whole(tmp_path / "f", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"old")]
