"""A file is replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talkface_core.whole_file import write_whole, written_beside


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


def test_the_file_behind_a_link_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_a_file_of_the_user_with_a_name_like_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "f.partial").write_bytes(b"mine")
    write_whole(tmp_path / "f", b"new")
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir()) == [("f", b"new"), ("f.partial", b"mine")]


def test_what_fails_on_the_way_leaves_the_earlier_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "f", b"old")

    def write_half() -> None:
        with written_beside(tmp_path / "f") as partial:
            partial.write_bytes(b"half")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        write_half()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"old")]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(os.devnull)
    write_whole(tmp_path / "out", b"gone")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(Path("/dev/full"), b"x" * 10_000)


def test_a_long_name_has_room_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / ("é" * 127), b"new")
    assert [len(os.fsencode(p.name)) for p in tmp_path.iterdir()] == [254]
