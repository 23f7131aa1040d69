"""Look locked packages up in the public advisories: `python tools/audit.py LOCK...`.

Exits with 0 when every package was looked up and none has an advisory, 1 when one has, 3 when some could not be looked
up (pip-audit itself ends with 0 then, and says that nothing was found).
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

FOUND, NOT_AUDITED = 1, 3


def report(locks: list[str]) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package, or None where no index of advisories answers."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    files = [option for lock in locks for option in ("--requirement", lock)]
    made = subprocess.run([*command, "--format", "json", *files], capture_output=True, text=True, check=False)
    if not made.stdout.strip():
        print(made.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return None
    packages: list[dict[str, Any]] = json.loads(made.stdout)["dependencies"]
    return packages


def verdict(packages: list[dict[str, Any]] | None) -> tuple[int, str]:
    """Exit code and words for what pip-audit said."""
    if packages is None or all("skip_reason" in package for package in packages):
        return NOT_AUDITED, "not audited: no index of advisories can be reached from here"
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    looked_up = len(packages) - len(unknown)
    if unknown:
        lines.append(f"not audited, unknown to the index of advisories: {', '.join(unknown)}")
    if any(package.get("vulns") for package in packages):
        return FOUND, "\n".join(lines)
    lines.append(f"no advisory for {looked_up} packages")
    return NOT_AUDITED if unknown else 0, "\n".join(lines)


if __name__ == "__main__":
    code, words = verdict(report(sys.argv[1:]))
    print(words)
    sys.exit(code)
