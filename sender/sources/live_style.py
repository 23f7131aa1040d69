"""Style from live pictures: one worker thread that runs the style encoder off the event loop (paper III.E).

A file's pictures are read ahead of the sound by a bounded time, so that the values for a packet's end are known when
the packet leaves; a camera's come when they come. When the encoder is slower than the pictures, pictures are passed
over: the latest wins, nothing queues up.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from sender.errors import SourceError
from sender.sources.interfaces import FrameSource
from sender.sources.style import PictureStats
from sender.sources.style_timeline import StyleTimeline
from talkface_core.interfaces import StyleSession

logger = logging.getLogger(__name__)

READ_AHEAD_TICKS = RTP_CLOCK_HZ // 2
"""How far the pictures of a file run ahead of the sound."""
_FIRST_PICTURE_S = 10.0
_NO_FACE_WARNING_TICKS = 3 * RTP_CLOCK_HZ


class LiveStyle:
    """Style values of a picture source, by media time."""

    name = "live"

    def __init__(self, frames: FrameSource, encoder: StyleSession, frame_rate: Fraction) -> None:
        """`frame_rate` is the model's: its encoder has a memory and wants pictures at that pace."""
        self._frames = frames
        self._encoder = encoder
        self._interval_ticks = RTP_CLOCK_HZ / frame_rate
        self._condition = threading.Condition()
        self._now_ticks = 0
        self._is_stopped = False
        self._thread: threading.Thread | None = None
        self._timeline = StyleTimeline()
        self._last_seen_ticks: int | None = None
        self._has_ended = False
        self._stats = PictureStats()
        """Replaced by the worker alone."""

    def start(self) -> None:
        """Open the pictures and begin.

        Raises:
            SourceError: there are none.
        """
        self._frames.open()
        self._thread = threading.Thread(target=self._run, name="live style", daemon=True)
        self._thread.start()
        if not self._frames.is_live:  # a file's first packet gets its own style, not none
            with self._condition:
                self._condition.wait_for(lambda: self._stats.frames_encoded > 0 or self._has_ended, _FIRST_PICTURE_S)

    def values_at(self, ticks: int) -> NDArray[np.float32] | None:
        """[16] at a media time: between two pictures interpolated, after the newest held for a second, then None.

        Also tells the worker how far the call is.
        """
        with self._condition:
            self._now_ticks = max(self._now_ticks, ticks)
            self._condition.notify_all()
            return self._timeline.at(ticks)

    def stats(self) -> PictureStats:
        """Counts of pictures, and why there are no more."""
        return self._stats

    def stop(self) -> None:
        """End the worker and close the pictures."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        if self._frames.is_live:
            self._frames.close()  # wakes a read that waits
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self._frames.close()

    def _run(self) -> None:
        try:
            while self._may_go_on():
                if not self._encode_next():
                    return
        except SourceError as error:
            self._fail(str(error))
        except Exception as error:
            # Style is worth less than the call: the sound goes on, the reason is in the log and the report.
            logger.exception("live style stopped")
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            with self._condition:
                self._has_ended = True
                self._condition.notify_all()

    def _may_go_on(self) -> bool:
        """Wait while the pictures of a file are far enough ahead of the sound."""
        with self._condition:
            if self._frames.is_live:
                return not self._is_stopped
            self._condition.wait_for(
                lambda: (
                    self._is_stopped
                    or self._last_seen_ticks is None
                    or self._last_seen_ticks < self._now_ticks + READ_AHEAD_TICKS
                )
            )
            return not self._is_stopped

    def _encode_next(self) -> bool:
        """One picture: encode it, or pass over it when it is late or too early after the last; False at the end."""
        if self._is_late():
            ticks = self._frames.skip_frame()
            if ticks is None:
                return False
            self._last_seen_ticks = ticks
            self._skipped()
            return True
        frame = self._frames.read_frame()
        if frame is None:
            return False
        # A camera may be faster than the model: keep its pace, with half an interval of tolerance.
        is_early = self._last_seen_ticks is not None and frame.ticks - self._last_seen_ticks < self._interval_ticks / 2
        if is_early:
            self._skipped()
            return True
        self._last_seen_ticks = frame.ticks
        values = self._encoder.encode_frame(frame.rgb)
        with self._condition:
            self._stats = replace(self._stats, frames_encoded=self._stats.frames_encoded + 1)
            if values is None:
                self._note_faceless(frame.ticks)
            else:
                self._timeline.add(frame.ticks, values)
            self._condition.notify_all()
        return True

    def _is_late(self) -> bool:
        """A file's picture whose time is over by more than one frame; a camera drops in its own buffer."""
        if self._frames.is_live or self._last_seen_ticks is None:
            return False
        with self._condition:
            return self._last_seen_ticks + 2 * self._interval_ticks < self._now_ticks

    def _skipped(self) -> None:
        self._stats = replace(self._stats, frames_skipped=self._stats.frames_skipped + 1)

    def _note_faceless(self, ticks: int) -> None:
        num_faceless = self._stats.frames_without_face + 1
        self._stats = replace(self._stats, frames_without_face=num_faceless)
        is_first = self._stats.failure is None
        if num_faceless == self._stats.frames_encoded and ticks > _NO_FACE_WARNING_TICKS and is_first:
            logger.warning("no face in the first 3 s of the picture: the far end's face moves by the sound alone")
            self._fail("no face in the picture")

    def _fail(self, reason: str) -> None:
        self._stats = replace(self._stats, failure=reason)
