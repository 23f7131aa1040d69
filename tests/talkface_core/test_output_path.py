"""Whether something can be written at a path is known before anything is written, and asking leaves nothing behind."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from talkface_core.output_path import (
    OutputPathError,
    check_output_file,
    check_output_folder,
    is_same_place,
    output_file,
    output_folder,
)


def test_what_can_be_written_passes_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    for path in (tmp_path / "new", tmp_path / "old", tmp_path / "no" / "such" / "folder" / "x"):
        check_output_file(path)
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "no" / "such")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("old", "old")]


def test_a_link_to_a_file_that_can_be_written_passes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_output_file(tmp_path / "link")
    (tmp_path / "astray").symlink_to("/proc/nowhere/real")
    with pytest.raises(OutputPathError, match="nothing can be made in /proc"):
        check_output_file(tmp_path / "astray")


def test_files_and_folders_are_not_each_other(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputPathError, match="is a folder, and a file is wanted"):
        check_output_file(tmp_path)
    with pytest.raises(OutputPathError, match="is a file, and a folder is wanted"):
        check_output_folder(tmp_path / "file")
    for check in (check_output_file, check_output_folder):
        with pytest.raises(OutputPathError, match="file is a file and no folder"):
            check(tmp_path / "file" / "below")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(OutputPathError, match="File name too long"):
        check_output_file(tmp_path / ("x" * 300))
    with pytest.raises(OutputPathError, match="is no path"):
        check_output_file(Path("a\0b"))


def test_a_pipe_takes_text_but_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_output_file(tmp_path / "pipe")
    check_output_file(Path(os.devnull), needs_seek=True)
    with pytest.raises(OutputPathError, match="needs a file"):
        check_output_file(tmp_path / "pipe", needs_seek=True)


def test_what_the_user_may_not_write() -> None:
    """In a process without root's rights, in a folder that all may enter."""
    program = """
import os, sys
from pathlib import Path
from talkface_core.output_path import OutputPathError, check_output_file, check_output_folder
folder = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for check, name in ((check_output_file, "locked/x"), (check_output_folder, "locked"), (check_output_file, "kept")):
    try:
        check(folder / name)
        print("passed")
    except OutputPathError as error:
        print(str(error).replace(str(folder), ""))
"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "locked").mkdir()
        (folder / "locked").chmod(0o555)
        (folder / "kept").write_text("kept")
        (folder / "kept").chmod(0o444)
        result = subprocess.run(
            [sys.executable, "-c", program, name], capture_output=True, text=True, check=True, timeout=60
        )
    assert result.stdout.splitlines() == [
        "/locked/x cannot be written: nothing can be made in /locked (Permission denied)",
        "/locked cannot be written: nothing can be made in /locked (Permission denied)",
        "/kept is write-protected",
    ]


def test_one_file_under_several_names(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "link").symlink_to(file)
    os.link(file, tmp_path / "hard")
    for name in (tmp_path / "link", tmp_path / "hard", tmp_path / "sub" / ".." / "file"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        assert is_same_place(file, name)
    assert is_same_place(tmp_path / "new", tmp_path / "sub" / ".." / "new")
    assert not is_same_place(file, tmp_path / "new")


def test_programs_with_argparse_check_when_they_read_the_command_line(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--out", type=output_file)
    parser.add_argument("--folder", type=output_folder)
    assert parser.parse_args(["--out", str(tmp_path / "x")]).out == tmp_path / "x"
    with pytest.raises(argparse.ArgumentError, match="is a folder, and a file is wanted"):
        parser.parse_args(["--out", str(tmp_path)])
    (tmp_path / "file").touch()
    with pytest.raises(argparse.ArgumentError, match="is a file, and a folder is wanted"):
        parser.parse_args(["--folder", str(tmp_path / "file")])
