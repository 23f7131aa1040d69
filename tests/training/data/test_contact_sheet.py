"""Rows of pictures as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.contact_sheet import contact_sheet, write_png


def test_short_rows_are_filled_with_black_and_empty_ones_left_out(tmp_path: Path) -> None:
    rows = [np.full((n, 2, 2, 3), 10 * n, np.uint8) for n in (3, 0, 1)]
    sheet = contact_sheet(rows)
    assert sheet.shape == (4, 6, 3)
    assert (sheet[:2] == 30).all()
    assert (sheet[2:, :2] == 10).all()
    assert (sheet[2:, 2:] == 0).all()
    write_png(tmp_path / "sheet.png", sheet)
    with Image.open(tmp_path / "sheet.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), sheet)
