"""Errors of the app: what a person at the terminal can do something about."""

from __future__ import annotations


class UserError(Exception):
    """Something the user asked for cannot be done; the command prints it and exits with a code other than 0.

    Args:
        problem: the thing and what is wrong with it.
        fix: what to do about it; empty when the problem says it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}. {fix[:1].upper()}{fix[1:]}" if fix else problem)
        self.problem = problem
        self.fix = fix
