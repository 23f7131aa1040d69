"""The picture inside an identity file as coloured half blocks, for terminals that show 24-bit colours."""

from __future__ import annotations

import io

import numpy as np
from rich.color import Color
from rich.style import Style
from rich.text import Text

from talkface.errors import UserError

MAX_THUMBNAIL_PX = 256
PREVIEW_PX = 32
_UPPER_HALF = "\u2580"


def preview_of(thumbnail: bytes) -> Text:
    """`PREVIEW_PX` columns and half as many lines.

    Raises:
        UserError: the bytes are not a picture, or a larger one than an identity may hold.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(thumbnail), formats=("JPEG", "WEBP")) as image:
            if max(image.size) > MAX_THUMBNAIL_PX:  # known before a pixel is decoded
                raise UserError(f"the picture of this identity is {image.size[0]} x {image.size[1]} pixels large")
            small = image.convert("RGB").resize((PREVIEW_PX, PREVIEW_PX))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"the picture of this identity cannot be read ({error})") from error
    text = Text()
    pixels = np.asarray(small).reshape(PREVIEW_PX // 2, 2, PREVIEW_PX, 3).tolist()
    for upper, lower in pixels:
        for above, below in zip(upper, lower, strict=True):
            text.append(_UPPER_HALF, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text
