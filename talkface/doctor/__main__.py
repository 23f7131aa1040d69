"""Some of the doctor's heavy checks, in a process that may end while it does them: one finding in JSON per line."""

from __future__ import annotations

import json
import sys

from talkface.doctor.checks import HEAVY
from talkface.doctor.run import run_check


def main() -> None:
    """Do the checks that the command line names."""
    for name in sys.argv[1:]:
        print(json.dumps(run_check(name, HEAVY[name]).as_dict()), flush=True)


main()
