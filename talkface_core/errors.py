"""Errors of talkface_core: what a caller can do something about."""

from __future__ import annotations


class CoreError(ValueError):
    """Base of the errors below."""


class StylePayloadError(CoreError):
    """Bytes from a peer are not a style payload; the receiver drops the block and counts it."""


class TunedPartError(CoreError):
    """Parts of an identity are damaged or belong to other weights; the receiver keeps the face that it draws."""


class RuntimeUnavailableError(CoreError):
    """The asked-for runtime cannot run on this machine; the message names the missing part and the fix."""


class WeightsError(CoreError):
    """A weights file is missing, damaged or not ours; the message names the file and the fix."""


class CheckpointMismatchError(WeightsError):
    """Weights or a checkpoint were made by another version or for another shape.

    Args:
        expected: what this code wants.
        got: what the file says.
    """

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {got}")
        self.expected = expected
        self.got = got
