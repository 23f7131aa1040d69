"""libopus is found, told from other libraries, and loaded alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from talkface_core.sound import libopus
from talkface_core.sound.libopus import OpusUnavailableError


def test_no_libopus_anywhere_says_how_to_get_one() -> None:
    with pytest.raises(OpusUnavailableError, match="libopus0"):
        libopus.open_libopus(["/nonexistent/libopus.so.0"])


def test_a_library_that_is_not_libopus_is_passed_over() -> None:
    path = libopus.load_libopus().path
    assert libopus.open_libopus(["libc.so.6", path]).path == path


def test_loading_libopus_does_not_import_av() -> None:
    code = (
        "import sys, numpy\nfrom talkface_core.sound.opus import OpusDecoder\nOpusDecoder().close()\n"
        "sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
