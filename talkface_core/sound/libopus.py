"""libopus through ctypes: where it is found, and the functions of it that we call, with their C types.

Nothing is loaded before the first encoder or decoder is made.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from talkface_core.errors import CoreError

_SYSTEM_NAMES = ("libopus.so.0", "libopus.0.dylib", "libopus.so", "opus.dll", "libopus-0.dll")
_POINTER, _INT, _INT32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
_ERROR_POINTER = ctypes.POINTER(ctypes.c_int)

CFunction = Callable[..., Any]


class OpusUnavailableError(CoreError):
    """No libopus on this machine; the caller may fall back to another encoder, the message names the fix."""


def _typed(function: Any, arguments: list[Any], result: Any) -> CFunction:
    function.argtypes, function.restype = arguments, result
    called: CFunction = function
    return called


class EncoderCalls:
    """opus_encoder_* and opus_encode."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.create = _typed(lib.opus_encoder_create, [_INT32, _INT, _INT, _ERROR_POINTER], _POINTER)
        self.destroy = _typed(lib.opus_encoder_destroy, [_POINTER], None)
        self.encode = _typed(lib.opus_encode, [_POINTER, _POINTER, _INT, _POINTER, _INT32], _INT32)
        # Variadic in C: only the fixed arguments are declared, so that ctypes follows the variadic convention
        # where it differs (arm64 macOS); callers wrap the value in c_int32.
        self.control = _typed(lib.opus_encoder_ctl, [_POINTER, _INT], _INT)


class DecoderCalls:
    """opus_decoder_* and opus_decode."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.create = _typed(lib.opus_decoder_create, [_INT32, _INT, _ERROR_POINTER], _POINTER)
        self.destroy = _typed(lib.opus_decoder_destroy, [_POINTER], None)
        self.decode = _typed(lib.opus_decode, [_POINTER, ctypes.c_char_p, _INT32, _POINTER, _INT, _INT], _INT)
        self.control = _typed(lib.opus_decoder_ctl, [_POINTER, _INT], _INT)  # variadic, as the encoder's


class RepacketizerCalls:
    """opus_repacketizer_*."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.create = _typed(lib.opus_repacketizer_create, [], _POINTER)
        self.destroy = _typed(lib.opus_repacketizer_destroy, [_POINTER], None)
        self.init = _typed(lib.opus_repacketizer_init, [_POINTER], _POINTER)
        self.cat = _typed(lib.opus_repacketizer_cat, [_POINTER, ctypes.c_char_p, _INT32], _INT)
        self.out = _typed(lib.opus_repacketizer_out, [_POINTER, _POINTER, _INT32], _INT32)


class LibOpus:
    """One libopus shared library."""

    def __init__(self, path: str) -> None:
        """Load the library; raises OSError when it cannot be loaded, AttributeError when it is not libopus."""
        lib = ctypes.CDLL(path)
        self.path = path
        self._version = _typed(lib.opus_get_version_string, [], ctypes.c_char_p)
        self._strerror = _typed(lib.opus_strerror, [_INT], ctypes.c_char_p)
        self.encoder = EncoderCalls(lib)
        self.decoder = DecoderCalls(lib)
        self.repacketizer = RepacketizerCalls(lib)

    @property
    def version(self) -> str:
        """For example "libopus 1.6.1"."""
        return bytes(self._version()).decode("ascii", "replace")

    def describe_error(self, code: int) -> str:
        """libopus's words for a negative return value."""
        return bytes(self._strerror(code)).decode("ascii", "replace")


def libopus_candidates() -> list[str]:
    """Where libopus may be, best first: the copy in the PyAV wheel (without importing av), then the system's."""
    candidates: list[str] = []
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            candidates += sorted(str(path) for path in folder.glob("*opus*") if path.is_file())
    return candidates + list(_SYSTEM_NAMES)


def open_libopus(candidates: Iterable[str]) -> LibOpus:
    """Load the first of `candidates` that is a libopus.

    Raises:
        OpusUnavailableError: none can be loaded.
    """
    for candidate in candidates:
        try:
            return LibOpus(candidate)
        except (OSError, AttributeError):
            continue
    raise OpusUnavailableError(
        "libopus was not found, neither in the av package nor on the system: "
        "install av from its binary wheel, or the system package (Debian: libopus0)"
    )


@functools.cache
def load_libopus() -> LibOpus:
    """The libopus of this process, loaded once.

    Raises:
        OpusUnavailableError: there is none.
    """
    return open_libopus(libopus_candidates())
