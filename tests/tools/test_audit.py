"""An audit that looked nothing up does not pass for a clean one."""

from __future__ import annotations

from typing import Any

from audit import FOUND, NOT_AUDITED, verdict

CLEAN: dict[str, Any] = {"name": "numpy", "version": "2.4.6", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "triton", "skip_reason": "Dependency not found"}
FAULTY: dict[str, Any] = {"name": "x", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


def test_clean() -> None:
    assert verdict([CLEAN]) == (0, "no advisory for 1 packages")


def test_no_index_in_reach() -> None:
    words = "not audited: no index of advisories can be reached from here"
    assert verdict(None) == verdict([SKIPPED]) == (NOT_AUDITED, words)


def test_a_package_that_the_index_does_not_know_is_named() -> None:
    code, words = verdict([CLEAN, SKIPPED])
    assert code == NOT_AUDITED
    assert "triton" in words


def test_an_advisory_counts_more_than_a_gap() -> None:
    assert verdict([FAULTY, SKIPPED])[0] == FOUND
    assert "x 1: PYSEC-1, fixed in 2" in verdict([FAULTY])[1]
