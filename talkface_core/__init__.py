"""Models and signal code of the talking-face codec; no network, no media containers."""
