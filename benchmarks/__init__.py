"""Where speed is known: what is measured, how, and what came out (`performance.json`, docs/performance.md).

    registry ── settings ──> subjects/ ── measurements ──> performance ──> JSON ──> table
                               └─ timer (turns)              └─ machine

A subject is one file in `subjects/` with a `BENCHMARK`. `python -m benchmarks --help` says how to run them. Nothing of
the program imports this package, and it is not part of the wheel.
"""
