"""OpenVINO without its telemetry: import `openvino` from here, nowhere else.

Importing openvino sends an event to its maker's statistics service, and converting a model sends more, through a
forked process that outlives ours. A call asks no third party for anything, so the package that does it is masked;
OpenVINO then uses its own empty stand-in.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it raises ImportError

import openvino  # noqa: E402

__all__ = ["openvino"]
