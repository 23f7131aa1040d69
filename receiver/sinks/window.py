"""A live window with the face in it (tkinter and Pillow: no dependency that the call does not have already).

tkinter wants all its calls on one thread; a sink has one.
"""

from __future__ import annotations

import tkinter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageTk

from receiver.errors import SinkUnavailableError
from receiver.sinks.sink import SinkFormat

MIN_WINDOW_PX = 512


class WindowSink:
    """Shows frames; sound goes elsewhere (`AudioDeviceSink`)."""

    def __init__(self, title: str = "Talkface", on_closed: Callable[[], None] | None = None) -> None:
        """`on_closed` is called on the sink's thread when the user closes the window."""
        self._title = title
        self._on_closed = on_closed
        self._root: tkinter.Tk | None = None
        self._label: tkinter.Label | None = None
        self._photo: ImageTk.PhotoImage | None = None
        self._size_px = MIN_WINDOW_PX

    def open(self, media_format: SinkFormat) -> None:
        """Open the window.

        Raises:
            SinkUnavailableError: there is no display.
        """
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise SinkUnavailableError(
                f"no window can be opened ({error}): run this on a desktop, or write a file with --output instead"
            ) from error
        self._root.title(self._title)
        self._root.protocol("WM_DELETE_WINDOW", self._closed_by_user)
        self._size_px = max(MIN_WINDOW_PX, media_format.resolution_px)
        self._photo = ImageTk.PhotoImage("RGB", (self._size_px, self._size_px))
        self._label = tkinter.Label(self._root, image=self._photo, borderwidth=0)
        self._label.pack()
        self._root.update()

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """Sound comes between frames too: a moment to answer the window system."""
        del start_samples, pcm
        if self._root is not None:
            self._root.update()

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        del index, samples
        if self._root is None or self._photo is None:
            return
        picture = Image.fromarray(image)
        if picture.width != self._size_px:
            picture = picture.resize((self._size_px, self._size_px), Image.Resampling.BICUBIC)
        self._photo.paste(picture)
        self._root.update()

    def close(self) -> None:
        root, self._root = self._root, None
        self._label = self._photo = None
        if root is not None:
            root.destroy()

    def _closed_by_user(self) -> None:
        self.close()
        if self._on_closed is not None:
            self._on_closed()
