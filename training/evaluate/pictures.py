"""Pictures for eyes: side-by-side videos with sound, and a contact sheet of true and drawn frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkface_core.whole_file import write_whole
from training.data.clip_format import Clip
from training.data.clip_store import resize_frames
from training.data.clip_video import write_video
from training.data.contact_sheet import contact_sheet, write_png
from training.mode import Mode

COLUMNS = 6


class Gallery:
    """Keeps some clips of an evaluation to be looked at.

    Args:
        modes: what is drawn of every clip.
        shown: numbers of the clips that are kept.
    """

    def __init__(self, modes: Sequence[Mode], shown: Collection[int]) -> None:
        self._shown = shown
        self._truth: list[Clip] = []
        self._drawn: dict[Mode, list[NDArray[np.uint8]]] = {mode: [] for mode in modes}

    def add_truth(self, index: int, clip: Clip) -> None:
        """The clip of this number."""
        if index in self._shown:
            self._truth.append(clip)

    def add_drawn(self, index: int, mode: Mode, frames: NDArray[np.uint8]) -> None:
        """[T, R, R, 3] of it."""
        if index in self._shown:
            self._drawn[mode].append(frames)

    def write(self, folder: Path) -> None:
        """Side-by-side videos and the contact sheet."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = list(self._drawn.values())
        write_side_by_side(folder, self._truth, rows, [str(mode) for mode in self._drawn])
        write_contact_sheet(folder / "contact_sheet.png", self._truth, rows)


def write_side_by_side(
    folder: Path, truth: Sequence[Clip], rows: Sequence[Sequence[NDArray[np.uint8]]], names: Sequence[str]
) -> None:
    """NAME.mp4 per clip: true, then each mode from left to right; ORDER.txt says which is which.

    Args:
        truth: the first clips.
        rows: per mode, the drawn frames [T, R, R, 3] of these clips.
        names: of the modes.
    """
    for index, clip in enumerate(truth):
        drawn = [row[index] for row in rows]
        real = resize_frames(clip.frames, drawn[0].shape[1])
        write_video(folder / f"{clip.name}.mp4", np.concatenate([real, *drawn], axis=2), audio=clip.samples)
    write_whole(folder / "ORDER.txt", f"from left to right: original, {', '.join(names)}\n".encode())


def write_contact_sheet(path: Path, truth: Sequence[Clip], rows: Sequence[Sequence[NDArray[np.uint8]]]) -> None:
    """One PNG: for each clip a row of true frames, then one per mode."""
    sheet: list[NDArray[np.uint8]] = []
    for index, clip in enumerate(truth):
        moments = np.linspace(0, len(clip.frames) - 1, COLUMNS).round().astype(int)
        drawn = [row[index] for row in rows]
        sheet.append(resize_frames(np.ascontiguousarray(clip.frames[moments]), drawn[0].shape[1]))
        sheet.extend(d[moments] for d in drawn)
    write_png(path, contact_sheet(sheet))
