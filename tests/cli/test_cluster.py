# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy status``, ``kubeconfig`` and ``reset``; and which cluster a command means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pideploy import kubeconfig, runner
from pideploy.cli import options
from pideploy.spec import ClusterSpec
from pideploy.state import ClusterState
from tests.cli.conftest import FakeRunner, Invoke
from tests.unit import raw_events as raw
from tests.unit.test_kubeconfig import text


def looked() -> list[raw.Raw]:
    failed = {"id": "nodes", "status": "failed", "message": "red01 is not Ready"}
    data = {
        "checks": [failed],
        "nodes": [*raw.NODES[:1], {**raw.NODES[1], "ready": False, "reason": "Kubelet stopped posting"}],
    }
    return [raw.play("status: ask"), raw.result("red", "pideploy.k3s.k3s_cluster_info", res=data), raw.stats()]


def test_status(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = looked()
    result = pideploy("status")
    assert result.exit_code == 0
    assert fake.command.playbook == "pideploy.k3s.status"
    assert "red01  agent   NotReady: Kubelet stopped posting  v1.36.4+sim1" in result.stdout.splitlines()
    assert json.loads(pideploy("status", "-o", "json").stdout)["nodes"][0]["internal_ip"] == "10.0.0.1"


def test_status_of_a_cluster_that_does_not_answer(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    failed = {"id": "nodes", "title": "Nodes are Ready", "status": "failed", "message": "the API server did not answer"}
    node = {"name": "red", "host": "red", "role": "server", "wanted_version": "v1.36.4+k3s1", "reason": "not known"}
    data = {"checks": [failed], "nodes": [node]}
    fake.events = [raw.play("status: ask"), raw.result("red", "pideploy.k3s.k3s_cluster_info", res=data), raw.stats()]
    result = pideploy("status")
    assert result.exit_code == 1
    assert "red   server  NotReady: not known" in result.stdout.splitlines()
    assert "error: the cluster is not well: Nodes are Ready: the API server did not answer" in result.stderr


def test_kubeconfig(pideploy: Invoke, fake: FakeRunner, spec: Path, home: Path) -> None:
    def fetch(command: runner.Command, folder: Path) -> None:
        Path(command.extra_vars["kubeconfig_dest"]).write_text(text())

    fake.before = fetch
    fake.events = [raw.play("kubeconfig: fetch"), raw.result("red"), raw.stats()]
    kept = ClusterState("red").kubeconfig
    result = pideploy("kubeconfig")
    assert result.stdout == f"{kept}\n"
    assert result.stderr.splitlines()[-1] == f"Use it: export KUBECONFIG={kept}"
    assert not (home / ".kube").exists()
    result = pideploy("kubeconfig", "--to", "here.yml", "--merge")
    assert result.stdout == f"{home}/here.yml\n"
    assert result.stderr.splitlines()[-1] == "Use it: kubectl get nodes"
    assert yaml.safe_load((home / ".kube/config").read_text())["current-context"] == "red"
    shown = json.loads(pideploy("kubeconfig", "--merge", "-o", "json").stdout)
    assert shown == {"path": str(kept), "merged": {"path": f"{home}/.kube/config", "context": "red", "current": True}}


def test_kubeconfig_that_was_not_fetched(pideploy: Invoke, fake: FakeRunner, spec: Path, home: Path) -> None:
    fake.events = [
        raw.play("kubeconfig: x"),
        raw.result("red", status="failed", res={"msg": "no k3s"}),
        raw.stats(["red"]),
    ]
    fake.status = "failed"
    result = pideploy("kubeconfig", "--merge")
    assert result.exit_code == 1
    assert "error: failed on 1 host: red; red: no k3s" in result.stderr
    fake.events = [raw.play("kubeconfig: x"), raw.result("red"), raw.stats()]
    fake.status = "successful"
    assert "there is no" in pideploy("kubeconfig", "--merge").stderr
    assert not (home / ".kube").exists()


def reset_events() -> list[raw.Raw]:
    return [raw.play("reset: delete"), raw.result("red", "pideploy.k3s.k3s_reset", "changed"), raw.stats()]


def test_reset_needs_a_yes(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    result = pideploy("reset")
    assert result.exit_code == 2
    assert "hint: confirm with --yes" in result.stderr
    assert fake.commands == []


def test_reset_asks_for_the_name(
    pideploy: Invoke, fake: FakeRunner, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "has_terminal", lambda: True)
    fake.events = reset_events()
    result = pideploy("reset", stdin="blue\n")
    assert result.exit_code == 2
    assert "'blue' is not the name of cluster red" in result.stderr
    assert fake.commands == []
    assert pideploy("reset", stdin="red\n").exit_code == 0


def test_reset(pideploy: Invoke, fake: FakeRunner, spec: Path, home: Path) -> None:
    fake.events = reset_events()
    ClusterState("red").create()
    ClusterState("red").kubeconfig.write_text(text())
    kubeconfig.merge(ClusterState("red").kubeconfig, "red")
    result = pideploy("reset", "--yes", "--delete-data")
    assert result.exit_code == 0
    assert fake.command.extra_vars == {"reset_confirm": "red", "reset_delete_data": True}
    assert "Cluster red is deleted" in result.stdout
    assert not ClusterState("red").kubeconfig.exists()
    assert yaml.safe_load((home / ".kube/config").read_text())["contexts"] == []


def test_a_failed_reset_keeps_the_kubeconfig(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = [raw.play("reset: x"), raw.result("red", status="failed"), raw.stats(["red"])]
    fake.status = "failed"
    ClusterState("red").create()
    ClusterState("red").kubeconfig.write_text(text())
    assert pideploy("reset", "--yes").exit_code == 1
    assert ClusterState("red").kubeconfig.exists()


def test_which_cluster(pideploy: Invoke, fake: FakeRunner, home: Path) -> None:
    result = pideploy("status")
    assert result.exit_code == 2
    assert "error: which hosts?" in result.stderr

    ClusterSpec.from_hosts("blue[1-2]").store()
    result = pideploy("status", "--print-command")
    assert "Using cluster blue1" in result.stderr

    ClusterSpec.from_hosts("red,red1").store()
    result = pideploy("status", "--print-command")
    assert result.exit_code == 2
    assert "which cluster? Known are blue1, red" in result.stderr

    (home / "one.pideploy.yml").write_text("plugin: pideploy.k3s.hostlist\nhosts: one\n")
    result = pideploy("status", "--print-command")
    assert "Using one.pideploy.yml." in result.stderr
    assert str(home / "one.pideploy.yml") in result.stdout

    (home / "two.pideploy.yml").write_text("plugin: pideploy.k3s.hostlist\nhosts: two\n")
    result = pideploy("status", "--print-command")
    assert result.exit_code == 2
    assert "hint: -f one.pideploy.yml" in result.stderr

    result = pideploy("status", "--cluster", "bleu1")
    assert result.exit_code == 2
    assert "hint: did you mean blue1?" in result.stderr

    result = pideploy("status", "--cluster", "red", "-f", "one.pideploy.yml")
    assert result.exit_code == 2
    assert "--file and --cluster name a cluster each" in result.stderr


def test_options_that_a_file_has_keys_for(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    result = pideploy("kubernetes", "-f", str(spec), "--user", "pi")
    assert result.exit_code == 2
    assert f"hint: {spec} describes this cluster: say 'user:' there" in result.stderr


def test_a_typo_in_the_file(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    spec.write_text('plugin: pideploy.k3s.hostlist\nhosts: "red"\nusr: pi\n')
    result = pideploy("kubernetes", "-f", str(spec))
    assert result.exit_code == 2
    assert f"error: {spec}, line 3, column 1: " in result.stderr
    assert "user" in result.stderr
    assert fake.commands == []
