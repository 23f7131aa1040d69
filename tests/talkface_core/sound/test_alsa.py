"""The system's ALSA is found where distributions put it, and is not forced on who has chosen another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talkface_core.sound.alsa import system_alsa, use_system_alsa


def make_system(usr: Path, *plugin_folders: str) -> None:
    (usr / "share" / "alsa").mkdir(parents=True)
    (usr / "share" / "alsa" / "alsa.conf").touch()
    for folder in plugin_folders:
        (usr / folder).mkdir(parents=True)


def test_all_three_places_are_named(tmp_path: Path) -> None:
    make_system(tmp_path, "lib/x86_64-linux-gnu/alsa-lib")
    assert system_alsa(tmp_path, "x86_64") == {
        "ALSA_CONFIG_PATH": str(tmp_path / "share/alsa/alsa.conf"),
        "ALSA_CONFIG_DIR": str(tmp_path / "share/alsa"),
        "ALSA_PLUGIN_DIR": str(tmp_path / "lib/x86_64-linux-gnu/alsa-lib"),
    }


def test_plugins_are_those_of_this_machine(tmp_path: Path) -> None:
    make_system(tmp_path, "lib/i386-linux-gnu/alsa-lib", "lib/x86_64-linux-gnu/alsa-lib")
    assert system_alsa(tmp_path, "x86_64")["ALSA_PLUGIN_DIR"] == str(tmp_path / "lib/x86_64-linux-gnu/alsa-lib")


def test_plugins_without_a_folder_per_machine(tmp_path: Path) -> None:
    make_system(tmp_path, "lib64/alsa-lib")
    assert system_alsa(tmp_path, "x86_64")["ALSA_PLUGIN_DIR"] == str(tmp_path / "lib64/alsa-lib")


def test_a_system_without_alsa_gives_nothing(tmp_path: Path) -> None:
    assert system_alsa(tmp_path) == {}


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ALSA_CONFIG_DIR", "ALSA_PLUGIN_DIR"):
        monkeypatch.setenv(variable, "")  # put back after the test
    monkeypatch.setenv("ALSA_CONFIG_PATH", "/mine.conf")
    use_system_alsa()
    assert os.environ["ALSA_CONFIG_PATH"] == "/mine.conf"
