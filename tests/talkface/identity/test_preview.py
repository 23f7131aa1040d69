"""The picture inside an identity, drawn in a terminal; nothing large or foreign is decoded."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from talkface.errors import UserError
from talkface.identity.preview import PREVIEW_PX, preview_of


def picture(side: int, kind: str) -> bytes:
    image = Image.new("RGB", (side, side), (200, 0, 0))
    image.paste((0, 0, 200), (0, side // 2, side, side))
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_half_blocks_in_the_picture_s_colours(kind: str) -> None:
    text = preview_of(picture(64, kind))
    assert text.plain == ("\u2580" * PREVIEW_PX + "\n") * (PREVIEW_PX // 2)
    first, last = text.spans[0].style, text.spans[-1].style
    assert first.color.triplet.red > 150 > first.color.triplet.blue  # type: ignore[union-attr]
    assert last.color.triplet.blue > 150 > last.color.triplet.red  # type: ignore[union-attr]


def test_what_is_not_drawn() -> None:
    with pytest.raises(UserError, match="is 257 x 257 pixels large"):
        preview_of(picture(257, "JPEG"))
    for data in (b"\xff\xd8\xff nothing", b"RIFF", picture(32, "PNG"), picture(64, "JPEG")[:200]):
        with pytest.raises(UserError, match="cannot be read"):
            preview_of(data)
