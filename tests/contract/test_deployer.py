# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Spec, inventory plugin, ansible-runner, events and result in one: a playbook with the phases' names, run here."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pideploy import ClusterSpec, Deployer, PideployError, api, processes
from pideploy.state import ClusterState

PLAY = """
- name: "{phase}: as the name says"
  hosts: {hosts}
  gather_facts: false
  tasks:
    - name: Do {phase}
      ansible.builtin.command: {command}
      changed_when: {changed}
"""
FACTS = """
    - name: Look at the cluster
      ansible.builtin.debug:
        msg: "{{ k3s_cluster_name }} {{ verify_level }} {{ ansible_ssh_common_args }}"
      run_once: true
"""
HOSTS = {"servers": "k3s_server", "agents": "k3s_agent"}
# A program that runs the command line with another playbook in the place of site.yml.
PROGRAM = "import sys; from pideploy import api, cli; api.SITE = sys.argv.pop(1); cli.main()"


def playbook(folder: Path, **commands: str) -> Path:
    """A playbook of all phases but verify, each of which runs a command (default: true)."""
    phases = ("guard", "preflight", "prepare", "reboot", "artifacts", "servers", "agents")
    plays = [
        PLAY.format(
            phase=phase,
            hosts=HOSTS.get(phase, "k3s_cluster"),
            command=json.dumps(commands.get(phase, "true")),
            changed="true" if phase == "prepare" else "false",
        )
        for phase in phases
    ]
    path = folder / "site.yml"
    path.write_text("".join(plays) + FACTS)
    return path


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterSpec:
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "red.pideploy.yml"
    file.write_text(
        "plugin: pideploy.k3s.hostlist\nhosts: red,red[01-02]\nvars:\n"
        f"  ansible_connection: local\n  ansible_become: false\n  ansible_python_interpreter: {sys.executable}\n"
        "  k3s_token: a-secret-of-the-spec\n"
    )
    return ClusterSpec.from_file(file)


def test_a_run(spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SITE", str(playbook(tmp_path, agents="echo {{ k3s_token }}")))
    result = Deployer(spec, limit="red,red02").deploy()
    assert {p.id: p.status for p in result.phases} == {
        **dict.fromkeys(["guard", "preflight", "reboot", "artifacts", "servers", "agents"], "ok"),
        "prepare": "changed",
        "verify": "not_run",
    }
    assert not result.ok, "verify was not run"
    assert {h: (r.status, r.host_tasks) for h, r in result.hosts.items()} == {
        "red": ("changed", 6),
        "red02": ("changed", 6),
    }
    kept = [p for p in ClusterState("red").folder.rglob("*") if p.is_file()]
    assert {p.name for p in kept} >= {"events.jsonl", "stdout", "ledger.jsonl"}
    assert [p for p in kept if stat.S_IMODE(p.stat().st_mode) & 0o077] == []
    events = (Path(result.folder) / "events.jsonl").read_text()
    assert "red full" in events
    assert "a-secret-of-the-spec" not in events
    assert "********" in events


def test_one_host_fails_and_the_others_go_on(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "sh -c 'test {{ inventory_hostname }} != red01 || { echo no space left >&2; exit 3; }'"
    monkeypatch.setattr(api, "SITE", str(playbook(tmp_path, prepare=command)))
    result = Deployer(spec).deploy()
    assert [(f.host, f.phase, f.message) for f in result.failures] == [
        ("red01", "prepare", "exit code 3: no space left")
    ]
    agents = next(p for p in result.phases if p.id == "agents")
    assert dict(agents.hosts) == {"red02": "ok"}
    assert result.exit_code == 1


def test_a_plan_is_check_mode(spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched = tmp_path / "touched"
    monkeypatch.setattr(api, "SITE", str(playbook(tmp_path, servers=f"touch {touched}")))
    result = Deployer(spec).plan()
    assert not touched.exists()
    assert {p.id for p in result.phases if p.needed and p.status == "not_run"} <= {
        "guard", "preflight", "prepare", "reboot", "artifacts", "servers", "agents",
    }  # fmt: skip


def test_strict_host_keys_reach_ssh(spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SITE", str(playbook(tmp_path)))
    result = Deployer(spec, strict_host_keys=True).deploy()
    events = (Path(result.folder) / "events.jsonl").read_text()
    assert "StrictHostKeyChecking=yes" in events
    assert "accept-new" not in events


def test_ctrl_c(spec: ClusterSpec, tmp_path: Path) -> None:
    """Once: what runs is finished, nothing begins after it. The command says so and exits with 130."""
    started, finished = tmp_path / "started", tmp_path / "finished"
    command = f"sh -c 'touch {started}; sleep 2; touch {finished}'"
    site = playbook(tmp_path, prepare=command, artifacts=f"touch {tmp_path}/too-far")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(site), "kubernetes", "-f", str(spec.file), "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(started)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Stopping before the next phase" in err
    assert finished.exists()
    assert not (tmp_path / "too-far").exists()
    assert json.loads(out)["status"] == "interrupted"
    assert ClusterState("red").lock_holder() is None


def test_a_killed_pideploy_leaves_the_cluster_locked_until_its_ansible_ends(
    spec: ClusterSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = tmp_path / "started", tmp_path / "go-on"
    wait = f"sh -c 'touch {started}; until test -e {go_on}; do sleep 0.1; done'"
    site = playbook(tmp_path, prepare=wait)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(site), "kubernetes", "-f", str(spec.file), "--limit", "red01"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (tmp_path / "next").mkdir()
    monkeypatch.setattr(api, "SITE", str(playbook(tmp_path / "next")))
    try:
        _wait_for(started)
        process.kill()
        process.wait()
        with pytest.raises(PideployError, match="its Ansible is still at work") as caught:
            Deployer(spec).deploy()
        assert caught.value.code == "locked"
        assert Deployer(spec, limit="red01").plan().run, "what changes nothing needs no lock"
    finally:
        process.kill()
        go_on.touch()
    deadline = time.monotonic() + 60
    while any(str(ClusterState("red").runs) in p.command for p in processes.listed()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert Deployer(spec, limit="red01").deploy().status == "successful"


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
