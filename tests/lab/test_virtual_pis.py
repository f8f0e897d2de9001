# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What a user does, on virtual Pis with the simulated k3s: deploy, again, plan, both doors, reset.

The tests of a class run in their order: each goes on where the one before ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.doors import Pis, ansible_playbook, pideploy

pytestmark = pytest.mark.lab
SIMULATED = "v1.36.4+sim1"
# Names whose pods a simulated node cannot run: design of the simulated k3s.
NEEDS_PODS = {"system_pods", "dns", "pvc", "pod_to_pod", "service"}


class Watch(threading.Thread):
    """Collects every command line and environment on this machine, which includes the virtual Pis' processes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        continue


def secrets_of(pis: Pis) -> set[str]:
    """Every join secret on the nodes: whole tokens, and their password part."""
    found: set[str] = set()
    for host in pis.names:
        text = pis.ssh(
            host,
            "sudo sh -c 'cat /etc/rancher/k3s/*token* /var/lib/rancher/k3s/server/*token "
            "/var/lib/rancher/k3s/agent/*token 2>/dev/null; true'",
        )
        for line in text.split():
            found |= {line, line.rsplit(":", 1)[-1]}
    return {secret for secret in found if len(secret) >= 16}


def most_tasks(result: dict[str, Any]) -> int:
    """The largest number of host-tasks on one node."""
    return max(host["host_tasks"] for host in result["hosts"].values())


class TestLife:
    """One cluster from fresh cards to reset."""

    def test_plan_on_fresh_hosts(self, pis: Pis) -> None:
        done = pideploy("plan", "--hosts", pis.hostlist, "--k3s-version", SIMULATED, "--detailed-exitcode", code=5)
        assert pis.names[0] in done.stdout
        assert pis.ssh(pis.names[0], "test -e /usr/local/bin/k3s || echo none").strip() == "none"
        assert pis.ssh(pis.names[0], "uname -n").strip() == "raspberrypi"

    def test_deploy(self, pis: Pis) -> None:
        watch = Watch()
        watch.start()
        done = pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", SIMULATED, "--output", "json")
        watch.over.set()
        watch.join()
        result = json.loads(done.stdout)
        assert result["ok"]
        assert result["changed"]
        assert [node["name"] for node in result["nodes"]] == pis.names
        assert {node["ready"] for node in result["nodes"]} == {True}
        status = {check["id"]: check["status"] for check in result["checks"]}
        assert status["nodes"] == "passed"
        assert {status[check] for check in NEEDS_PODS} == {"not_run"}
        assert most_tasks(result) <= 14

        secrets = secrets_of(pis)
        assert len(secrets) >= 3
        texts = [done.stdout.encode(), done.stderr.encode(), *watch.seen]
        texts += [path.read_bytes() for path in pis.state.rglob("*") if path.is_file() and path.name != "kubeconfig"]
        texts += [pis.ssh(host, "sudo journalctl --no-pager -o cat").encode() for host in pis.names]
        assert len(watch.seen) > 50
        for secret in secrets:
            assert not any(secret.encode() in text for text in texts)

    def test_os_is_prepared_and_proved_after_the_boot(self, pis: Pis) -> None:
        for host in pis.names:
            assert pis.ssh(host, "uname -n").strip() == host
            assert "cgroup_enable=memory" in pis.ssh(host, "cat /proc/cmdline").split()
            assert pis.ssh(host, "cat /proc/swaps").strip().count("\n") == 0
            for other in pis.names:
                assert pis.ssh(host, f"getent hosts {other}").split()[0] == pis.addresses[other]

    def test_second_run_changes_and_restarts_nothing(self, pis: Pis) -> None:
        before = pis.main_pids()
        done = pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", SIMULATED, "--output", "json")
        result = json.loads(done.stdout)
        assert (result["ok"], result["changed"]) == (True, False)
        assert pis.main_pids() == before
        assert most_tasks(result) <= 8

    def test_plan_says_no_changes(self, pis: Pis) -> None:
        done = pideploy("plan", "--hosts", pis.hostlist, "--k3s-version", SIMULATED, "--detailed-exitcode")
        assert "No changes" in done.stdout

    def test_plain_ansible_agrees(self, pis: Pis) -> None:
        before = pis.main_pids()
        done = ansible_playbook("-i", str(pis.spec), "pideploy.k3s.site")
        assert "changed=0" in done.stdout
        assert not any(f"changed={n}" in done.stdout for n in range(1, 10))
        assert pis.main_pids() == before

    def test_status_and_kubeconfig(self, pis: Pis, tmp_path: Path) -> None:
        done = pideploy("status", "--cluster", pis.names[0], "--output", "json")
        assert len(json.loads(done.stdout)["nodes"]) == 3
        target = tmp_path / "config"
        pideploy("kubeconfig", "--cluster", pis.names[0], "--to", str(target))
        assert target.stat().st_mode & 0o777 == 0o600
        assert f"https://{pis.addresses[pis.names[0]]}:6443" in target.read_text()

    def test_a_stopped_agent_is_reported_by_verify(self, pis: Pis) -> None:
        agent = pis.names[-1]
        pis.ssh(agent, "sudo systemctl stop k3s-agent")
        # Kubernetes would call it Ready for some 45 s; its lease says more after 25 s.
        time.sleep(27)
        done = pideploy(
            "verify", "--cluster", pis.names[0], "--set", "verify_timeout=5", "--output", "json", code=1
        )
        result = json.loads(done.stdout)
        failed = [check for check in result["checks"] if check["status"] == "failed"]
        assert [check["id"] for check in failed] == ["nodes"]
        assert agent in json.dumps(failed)
        pis.ssh(agent, "sudo systemctl start k3s-agent")

    def test_reset_leaves_no_k3s(self, pis: Pis) -> None:
        pideploy("reset", "--cluster", pis.names[0], code=2)
        pideploy("reset", "--cluster", pis.names[0], "--yes")
        for host in pis.names:
            left = pis.ssh(
                host,
                "sudo sh -c 'ls -d /usr/local/bin/k3s /etc/rancher /etc/systemd/system/k3s*.service "
                "/var/lib/rancher/k3s/server /var/lib/rancher/k3s/agent 2>/dev/null; true'",
            )
            assert left.strip() == "", host

    def test_plain_ansible_deploys_and_the_command_finds_nothing_to_do(self, pis: Pis) -> None:
        done = ansible_playbook("-i", str(pis.spec), "pideploy.k3s.site")
        assert "failed=0" in done.stdout
        before = pis.main_pids()
        done = pideploy("kubernetes", "--hosts", pis.hostlist, "--k3s-version", SIMULATED, "--output", "json")
        result = json.loads(done.stdout)
        assert (result["ok"], result["changed"]) == (True, False)
        assert pis.main_pids() == before


def test_wheel_in_an_empty_folder(pis: Pis, tmp_path: Path) -> None:
    """Only the wheel, in a new virtual environment, without the checkout's ansible.cfg."""
    top = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=top, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = (tmp_path / "dist").glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin/pip"), "install", "-q", str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PATH": f"{venv}/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    environment = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "ANSIBLE_"))}

    def run(*argv: str) -> str:
        done = subprocess.run(argv, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (empty / "red.pideploy.yml").write_text(
        f"plugin: pideploy.k3s.hostlist\nhosts: '{pis.hostlist}'\nvars: {{k3s_version: {SIMULATED}}}\n"
    )
    assert "hostlist" in run("ansible-doc", "-t", "inventory", "pideploy.k3s.hostlist")
    graph = run("ansible-inventory", "-i", "red.pideploy.yml", "--graph")
    assert all(name in graph for name in (*pis.names, "k3s_server", "k3s_agent"))
    assert "failed=0" in run("ansible-playbook", "-i", "red.pideploy.yml", "pideploy.k3s.site")
    result: dict[str, Any] = json.loads(run("pideploy", "kubernetes", "-f", "red.pideploy.yml", "--output", "json"))
    assert (result["ok"], result["changed"]) == (True, False)
