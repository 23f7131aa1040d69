"""`python -m talkface` is the `talkface` command."""

from __future__ import annotations

from talkface.cli.main import main

main()
