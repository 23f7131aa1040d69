"""A bill of materials in CycloneDX JSON: the packages that a call runs on, as installed, and the weights that ship.

cyclonedx-py describes the whole environment, tools of developers too; here only what follows from the dependencies of
`[project]` stays. The weights are added as components of their own, with SHA-256 and, where their file says it, origin.
The same environment gives the same bytes. Exits with 1 when the result breaks CycloneDX's schema.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name
from run_time import needed, wanted

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ("talkface_core/assets", "talkface_core/weights_*", "training/assets")


def environment(python: Path) -> dict[str, Any]:
    """What cyclonedx-py says about everything installed beside `python`."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    options = ["--mc-type", "application", "--spec-version", "1.6", "--output-format", "JSON", "--output-reproducible"]
    made = subprocess.run([*command, *options, str(python)], check=True, capture_output=True, text=True)
    bill: dict[str, Any] = json.loads(made.stdout)
    return bill


def keep_run_time(bill: dict[str, Any], site_packages: str) -> None:
    """Leaves out what `[project] dependencies` does not lead to, and says what leads to what.

    The graph of cyclonedx-py has an arrow for every extra of every package, whether anybody asked for it or not.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = wanted(project["dependencies"])
    packages = needed(direct, [site_packages])
    references: dict[str, str] = {
        canonicalize_name(component["name"]): component["bom-ref"] for component in bill["components"]
    }
    arrows = {references[name]: sorted(references[other] for other in one.asks_for) for name, one in packages.items()}
    root = bill["metadata"]["component"]["bom-ref"]
    arrows[root] = sorted(references[canonicalize_name(requirement.name)] for requirement in direct)
    bill["components"] = [component for component in bill["components"] if component["bom-ref"] in arrows]
    bill["dependencies"] = [{"ref": ref, "dependsOn": arrows[ref]} for ref in sorted(arrows)]


def weights() -> list[dict[str, Any]]:
    """The files of trained weights in the wheel, as components."""
    components: list[dict[str, Any]] = []
    for path in sorted(path for pattern in WEIGHTS for path in ROOT.glob(f"{pattern}/*.safetensors")):
        name = path.relative_to(ROOT).as_posix()
        component: dict[str, Any] = {
            "type": "machine-learning-model",
            "bom-ref": name,
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        }
        header = path.with_suffix(".json")
        if header.exists() and (origin := json.loads(header.read_text())["config"].get("origin")):
            component["description"] = origin
        components.append(component)
    return components


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="python of the environment to describe")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    bill = environment(arguments.python)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([arguments.python, "-c", ask], check=True, capture_output=True, text=True)
    keep_run_time(bill, found.stdout.strip())
    bill["components"] += weights()
    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        sys.exit(f"the bill of materials breaks the schema of CycloneDX: {error}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text)
    print(f"wrote {arguments.output}: {len(bill['components'])} components")


if __name__ == "__main__":
    main()
