# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The main job with a real k3s: what the simulated one cannot show is that pods, volumes and networks work."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.lab.doors import Pis, pideploy

pytestmark = [pytest.mark.lab, pytest.mark.real_k3s]


def test_deploy_proves_the_cluster(pis: Pis, real: str) -> None:
    done = pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", real, "--output", "json")
    result = json.loads(done.stdout)
    assert {check["id"]: check["status"] for check in result["checks"]} == dict.fromkeys(
        ["nodes", "system_pods", "flannel", "dns", "pod_to_pod", "service", "pvc"], "passed"
    )
    assert {node["name"]: node["version"] for node in result["nodes"]} == dict.fromkeys(pis.names, real)
    assert max(host["host_tasks"] for host in result["hosts"].values()) <= 14


def test_kubectl_from_the_controller(pis: Pis, kubectl: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    pideploy("kubeconfig", "--cluster", pis.names[0], "--to", str(config))
    assert config.stat().st_mode & 0o777 == 0o600
    env = {"KUBECONFIG": str(config), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    argv = [*kubectl, "get", "nodes", "-o", "name"]
    nodes = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert sorted(nodes.stdout.split()) == sorted(f"node/{name}" for name in pis.names)


def test_second_run_and_plan(pis: Pis, real: str) -> None:
    before = pis.main_pids()
    done = pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", real, "--output", "json")
    result = json.loads(done.stdout)
    assert (result["ok"], result["changed"]) == (True, False)
    assert pis.main_pids() == before
    assert max(host["host_tasks"] for host in result["hosts"].values()) <= 8
    pideploy("plan", "--hosts", pis.hostlist, "--k3s-version", real, "--detailed-exitcode", code=0)


def test_an_unknown_flag_is_reported_in_k3s_words_and_undone(pis: Pis, real: str) -> None:
    agent = pis.names[-1]
    done = pideploy(
        "kubernetes", "--hosts", pis.hostlist, "--k3s-version", real, "--limit", agent,
        "--set", 'k3s_extra_args=["--no-such-flag"]', code=1,
    )  # fmt: skip
    assert agent in done.stderr
    assert "no-such-flag" in done.stderr
    state = pis.ssh(agent, "systemctl is-active k3s-agent; ls /etc/systemd/system/k3s-agent.service.d 2>&-; true")
    assert state.split() == ["active"]


def test_an_agent_that_was_reset_joins_again(pis: Pis, real: str) -> None:
    """k3s keeps a password for each node name, which a reset agent no longer has."""
    agent = pis.names[-1]
    uid = f"sudo k3s kubectl get node {agent} -o jsonpath={{.metadata.uid}} --ignore-not-found"
    before = pis.ssh(pis.names[0], uid)
    pideploy("reset", "--cluster", pis.names[0], "--limit", agent, "--yes")
    assert before
    assert pis.ssh(pis.names[0], uid) == ""
    pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", real)
    assert pis.ssh(pis.names[0], uid) not in ("", before)
    # A node can be Ready some moments before its agent tells systemd so.
    pis.ssh(agent, "timeout 60 sh -c 'until systemctl is-active --quiet k3s-agent; do sleep 0.5; done'")


def test_reset_unmounts_and_removes(pis: Pis) -> None:
    pideploy("reset", "--cluster", pis.names[0], "--yes")
    for host in pis.names:
        mounts = pis.ssh(host, "cat /proc/mounts")
        assert "/run/k3s" not in mounts
        assert "/var/lib/kubelet" not in mounts
        assert "cni0" not in pis.ssh(host, "ls /sys/class/net").split()
        assert pis.ssh(host, "ps -e -o comm").count("containerd") == 0
