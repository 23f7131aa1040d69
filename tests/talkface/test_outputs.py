"""What a command is going to write, against what it reads; results handed over one by one. The commands themselves:
tests/talkface/cli/test_every_option.py."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.outputs import Delivery, NamedPath, check_paths, make_folder_for, named_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner(CheckedOptions):
    face: Annotated[str, Option("A word or a file.", path=PathUse.READ)] = "default"
    videos: Annotated[tuple[Path, ...], Option("Several.", path=PathUse.READ)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer(CheckedOptions):
    inner: Inner = Inner()
    film: Annotated[Path | None, Option("A recording.", path=PathUse.WRITE_RECORDING)] = None
    text: Annotated[Path | None, Option("A file.", flag="--report", path=PathUse.WRITE_FILE)] = None
    record: Path | None = None


def test_paths_are_found_in_dataclasses_within_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "face").touch()
    options = Outer(inner=Inner(face=str(tmp_path / "face"), videos=(Path("a"), Path("b"))), text=Path("c"))
    assert list(named_paths(options)) == [
        NamedPath("--face", tmp_path / "face", PathUse.READ),
        NamedPath("--videos", Path("a"), PathUse.READ),
        NamedPath("--videos", Path("b"), PathUse.READ),
        NamedPath("--report", Path("c"), PathUse.WRITE_FILE),
    ]
    assert list(named_paths(Outer(record=Path("not for people")))) == []


def test_one_of_several_inputs_counts_and_links_are_followed(tmp_path: Path) -> None:
    video = tmp_path / "b.mp4"
    video.touch()
    (tmp_path / "other_name").symlink_to(video)
    options = Outer(inner=Inner(videos=(tmp_path / "a.mp4", video)), film=tmp_path / "other_name")
    with pytest.raises(UserError, match=r"--film: .*other_name is what --videos reads"):
        check_paths(options)
    check_paths(Outer(inner=Inner(videos=(video,)), film=tmp_path / "new", text=tmp_path / "newer"))


def test_a_pipe_takes_a_report_and_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_paths(Outer(text=tmp_path / "pipe"))
    with pytest.raises(UserError, match=r"--film: .*pipe is a pipe or a socket"):
        check_paths(Outer(film=tmp_path / "pipe"))


def test_what_cannot_be_handed_over_keeps_nothing_else_back() -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    done: list[str] = []
    delivery = Delivery()
    assert not delivery.attempt("a.json", full)
    assert delivery.attempt("b.json", lambda: done.append("b"))
    delivery.add_problem("")
    delivery.add_problem("the call broke off")
    assert done == ["b"]
    with pytest.raises(UserError, match=r"^a\.json cannot be written: No space left on device; the call broke off$"):
        delivery.finish()
    Delivery().finish()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    make_folder_for(tmp_path / "a" / "b" / "file")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="cannot be made"):
        make_folder_for(tmp_path / "taken" / "b" / "file")
