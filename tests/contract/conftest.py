# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the real ansible-runner and ansible-playbook on this machine, with tiny playbooks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.playground import Playground

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty home and working folder; the collection of this checkout on the path of ansible-playbook."""
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "PIDEPLOY_", "AWX_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "collections")]))
    monkeypatch.chdir(home)


@pytest.fixture
def playground(tmp_path: Path) -> Playground:
    folder = tmp_path / "playground"
    folder.mkdir()
    return Playground(folder)
