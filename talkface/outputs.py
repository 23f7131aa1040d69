"""What a command is going to write, held against what is there and what it reads, before anything starts; and results
handed over at its end, so that one that cannot be takes no other with it.

Which options name files, and what becomes of those files, the options say themselves (`talkface/option.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkface.errors import UserError
from talkface.input_path import refuse_pipe
from talkface.option import PathUse, options_fields
from talkface_core.output_path import OutputPathError, check_output_file, check_output_folder, is_same_place


@dataclass(frozen=True, slots=True)
class NamedPath:
    """One path that a command was given, or takes by default."""

    spelling: str
    """Of its option."""
    path: Path
    use: PathUse


def check_paths(options: object) -> None:
    """Make sure that everything a command writes can be written, and overwrites nothing that it needs; and that nothing
    it reads is a pipe.

    Args:
        options: a dataclass of options; those within it count too.

    Raises:
        UserError: an output cannot be written, is an input, or is another output; an input is a pipe.
    """
    paths = list(named_paths(options))
    for named in paths:
        if not named.use.is_output:
            refuse_pipe(named.path, named.spelling)
    outputs = [named for named in paths if named.use.is_output]
    for named in outputs:
        try:
            if named.use is PathUse.WRITE_FOLDER:
                check_output_folder(named.path)
            else:
                check_output_file(named.path, needs_seek=named.use is PathUse.WRITE_RECORDING)
        except OutputPathError as error:
            raise UserError(f"{named.spelling}: {error}") from error
    for index, named in enumerate(outputs):
        for read in paths:
            if read.use is PathUse.READ and is_same_place(named.path, read.path):
                raise UserError(
                    f"{named.spelling}: {named.path} is what {read.spelling} reads, and would be overwritten",
                    f"give {named.spelling} another name",
                )
        for other in outputs[:index]:
            if is_same_place(named.path, other.path):
                raise UserError(
                    f"{named.spelling} and {other.spelling} both write {named.path}", "give each a name of its own"
                )


def named_paths(options: object) -> Iterator[NamedPath]:
    """The paths in a dataclass of options and those within it; a word such as 'default' is not one."""
    kind: type = type(options)
    for field in options_fields(kind):
        value = getattr(options, field.name)
        if field.group is not None and value is not None:
            yield from named_paths(value)
        elif field.option is not None and field.option.path is not None:
            for path in _paths_in(value):
                yield NamedPath(field.spelling, path, field.option.path)


def _paths_in(value: Any) -> list[Path]:
    """An option of type str may hold a word or a path: a path is what exists."""
    values = value if isinstance(value, tuple) else (value,)
    return [Path(one) for one in values if isinstance(one, Path) or (isinstance(one, str) and Path(one).exists())]


def make_folder_for(path: Path) -> None:
    """Make the folder that a file is going to be in.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {path.parent} cannot be made ({error.strerror})") from error


class Delivery:
    """Hands results over, one after the other: terminal first, files after it."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def attempt(self, name: str, hand_over: Callable[[], object]) -> bool:
        """Do it; True when it worked. What goes wrong with files and streams is kept for `finish`.

        Args:
            name: of the file, or of what takes its place.
        """
        try:
            hand_over()
        except OSError as error:
            self._problems.append(f"{name} cannot be written: {error.strerror or error}")
            return False
        return True

    def add_problem(self, sentence: str) -> None:
        """Something else that went wrong."""
        if sentence:
            self._problems.append(sentence)

    def finish(self) -> None:
        """Raises:
        UserError: something could not be handed over.
        """
        if self._problems:
            raise UserError("; ".join(self._problems))
