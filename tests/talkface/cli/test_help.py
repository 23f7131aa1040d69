"""`--help` of every command equals the checked-in text, so that a change of the command line is seen in review.

Regenerate with GENERATE_EXPECTED=1 after an intended change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer
from typer.testing import CliRunner

from talkface.cli.main import app
from talkface_core.shipped_weights import SHIPPED_WEIGHTS
from training.recipes import RECIPES

EXPECTED = Path(__file__).with_name("help.txt")


def _help(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="talkface", env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return re.sub(r"[ \t]+$", "", result.output, flags=re.MULTILINE)


def _all_help() -> str:
    names = sorted(typer.main.get_group(app).commands)
    texts = [_help()] + [_help(name) for name in names]
    return "\n".join(texts)


def test_help_is_as_checked_in() -> None:
    text = _all_help()
    if os.environ.get("GENERATE_EXPECTED"):
        EXPECTED.write_text(text)
    assert text == EXPECTED.read_text(), "help has changed: GENERATE_EXPECTED=1 pytest tests/talkface/cli/test_help.py"


def test_help_names_every_recipe_and_all_weights_that_ship() -> None:
    train, evaluate = _help("train"), _help("evaluate")
    assert not [name for name in RECIPES if not re.search(rf"\b{name}\b", train)]
    assert not [name for name in SHIPPED_WEIGHTS if f"'{name}'" not in evaluate or f"'{name}'" not in train]


def test_every_option_and_command_says_what_it_is() -> None:
    for name, command in typer.main.get_group(app).commands.items():
        assert command.help, f"{name} has no help"
        for parameter in command.params:
            if getattr(parameter, "hidden", False) or parameter.name == "help":
                continue
            assert getattr(parameter, "help", None), f"{name} {parameter.name} has no help"
