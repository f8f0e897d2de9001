# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pideploy.phases import PHASES, Phase, of_play, title

PLAYBOOKS = Path(__file__).parents[2] / "collections/ansible_collections/pideploy/k3s/playbooks"


def load(name: str) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return plays


def imports(name: str) -> list[str]:
    return [p["ansible.builtin.import_playbook"] for p in load(name) if "ansible.builtin.import_playbook" in p]


def test_site_has_these_phases_in_this_order() -> None:
    assert [Path(name).stem for name in imports("site")] == [phase.id for phase in PHASES]


def test_guard_runs_once_in_site_and_first_in_every_playbook() -> None:
    assert imports("site")[0] == "guard.yml"
    for path in PLAYBOOKS.rglob("*.yml"):
        name = str(path.relative_to(PLAYBOOKS).with_suffix(""))
        if name.startswith("phases/"):
            assert imports(name) == []
        elif name != "guard":
            assert load(name)[0].get("ansible.builtin.import_playbook") == "guard.yml"
            assert imports(name).count("guard.yml") == 1


@pytest.mark.parametrize("phase", PHASES, ids=lambda p: p.id)
def test_plays_of_a_phase_are_named_after_it(phase: Phase) -> None:
    own = "guard.yml" if phase.id == "guard" else f"phases/{phase.id}.yml"
    assert own in imports("site")
    if phase.id != "guard":
        assert imports(phase.id) == ["guard.yml", own]
    plays = load(own.removesuffix(".yml"))
    assert plays
    assert {of_play(p["name"]) for p in plays} == {phase.id}
    assert all(":" in p["name"] for p in plays)


@pytest.mark.parametrize("playbook", sorted(p.stem for p in PLAYBOOKS.glob("*.yml")))
def test_every_playbook_alone_fails_on_an_empty_inventory(playbook: str, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("k3s_cluster: {children: {k3s_server: {}, k3s_agent: {}}}\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(hosts), f"pideploy.k3s.{playbook}"]
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(PLAYBOOKS.parents[3])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode != 0
    assert "the inventory has no k3s hosts" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


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
