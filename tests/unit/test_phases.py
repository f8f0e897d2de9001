# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pideploy.phases import PHASES, Phase, of_play, title

PLAYBOOKS = Path(__file__).parents[2] / "collections/ansible_collections/pideploy/k3s/playbooks"


def load(name: str) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return plays


def test_site_has_these_phases_in_this_order() -> None:
    imported = [p["ansible.builtin.import_playbook"].removeprefix("pideploy.k3s.") for p in load("site")]
    assert [name.removesuffix(".yml") for name in imported] == [phase.id for phase in PHASES]


@pytest.mark.parametrize("phase", PHASES, ids=lambda p: p.id)
def test_plays_of_a_phase_are_named_after_it(phase: Phase) -> None:
    plays = [p for p in load(phase.id) if "ansible.builtin.import_playbook" not in p]
    assert plays
    assert {of_play(p["name"]) for p in plays} == {phase.id}
    assert all(":" in p["name"] for p in plays)


def test_hosts_of_a_phase() -> None:
    by_id = {p.id: p.hosts(["s"], ["a", "b"]) for p in PHASES}
    assert by_id["servers"] == ["s"]
    assert by_id["agents"] == ["a", "b"]
    assert by_id["preflight"] == by_id["verify"] == ["s", "a", "b"]


def test_names() -> None:
    assert of_play("Verify: explain: why") == "verify"
    assert of_play("Something else") == "something else"
    assert title("reset") == "Delete the cluster"
    assert title("something") == "Something"
    assert PHASES[0].playbook == "pideploy.k3s.guard"
