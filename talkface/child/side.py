"""One side of a call as a child process: `python -m talkface.child.side FILE`, with its `SideOptions` in the file."""

from __future__ import annotations

from talkface.child.main import child_main
from talkface.options import SideOptions


def main() -> None:
    """Run the side until its call is over."""
    from talkface.call import run_side

    child_main(SideOptions, run_side)


if __name__ == "__main__":
    main()
