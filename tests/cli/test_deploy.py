# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy kubernetes``, ``plan`` and ``verify`` as a user sees them."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pideploy.state import ClusterState
from tests.cli.conftest import FakeRunner, Invoke
from tests.unit import raw_events as raw

HOSTS = "red,red[01-02]"


def test_deploy(pideploy: Invoke, fake: FakeRunner) -> None:
    result = pideploy("kubernetes", "--hosts", HOSTS)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == "Cluster red: server red, 2 agents: red[01-02]"
    assert "preflight: 3 ok" in result.stderr
    lines = result.stdout.splitlines()
    assert "NODE   ROLE    STATUS  VERSION       ADDRESS" in lines
    assert "red    server  Ready   v1.36.4+sim1  10.0.0.1" in lines
    assert "This is a simulated k3s: its nodes join and turn Ready, and take no pods." in lines
    assert "Nodes are Ready  passed   1.5 s" in lines
    assert "DNS answers      not run         these nodes take no pods" in lines
    assert lines[-1] == "Next: pideploy kubeconfig --cluster red --merge, then kubectl get nodes"
    assert "Cluster red is deployed; 1 check passed, 1 could not be run, in " in lines[-2]
    assert fake.command.playbook == "pideploy.k3s.site"
    assert fake.command.extra_vars == {"verify_level": "full"}
    assert fake.command.inventory == ClusterState("red").spec_file
    assert "hosts: red,red[01-02]" in ClusterState("red").spec_file.read_text()


def test_second_deploy_looks_at_nodes_only_until_the_spec_changes(
    pideploy: Invoke, fake: FakeRunner, spec: Path
) -> None:
    fake.events = raw.deploy(status="ok")
    for _ in range(2):
        result = pideploy("kubernetes", "-f", str(spec))
    assert "nothing had to be changed" in result.stdout
    spec.write_text(spec.read_text() + "user: pi\n")
    pideploy("kubernetes", "-f", str(spec))
    assert [c.extra_vars["verify_level"] for c in fake.commands] == ["full", "nodes", "full"]


def test_flags_go_into_the_spec(pideploy: Invoke, fake: FakeRunner) -> None:
    flags = ["--user", "pi", "--servers", "red01", "--k3s-version", "v1.36.4+k3s1", "--set", "swap_state=kept"]
    pideploy("kubernetes", "--hosts", HOSTS, *flags, "--set", 'k3s_disable=["traefik"]')
    text = ClusterState("red").spec_file.read_text()
    for line in ("user: pi", "servers: red01", "  k3s_version: v1.36.4+k3s1", "  swap_state: kept", "  - traefik"):
        assert line in text.splitlines()
    assert fake.command.extra_vars == {"verify_level": "full"}


def test_variables_beside_a_file_are_for_this_run(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    before = spec.read_text()
    pideploy("kubernetes", "-f", str(spec), "--set", "preflight_min_free_mb=500", "--k3s-version", "stable")
    assert fake.command.extra_vars == {
        "verify_level": "full",
        "preflight_min_free_mb": 500,
        "k3s_version": "stable",
    }
    assert spec.read_text() == before


def test_limit_is_a_hostlist(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = raw.deploy(servers=(), verify=raw.verified("red01"))
    assert pideploy("kubernetes", "--limit", "red[02,01]").exit_code == 0
    assert fake.command.limit == ("red01", "red02")
    result = pideploy("kubernetes", "--limit", "red3")
    assert result.exit_code == 2
    assert "error: 'red3' is no host of cluster red" in result.stderr


def test_save(pideploy: Invoke, fake: FakeRunner, home: Path) -> None:
    saved = home / "mine.pideploy.yml"
    assert pideploy("kubernetes", "--hosts", HOSTS, "--save", str(saved)).exit_code == 0
    assert fake.command.inventory == saved
    assert pideploy("status", "--cluster", "red", "--print-command").stdout.split()[2] == str(saved)
    result = pideploy("kubernetes", "--hosts", "red[1-2]", "--save", str(saved))
    assert result.exit_code == 2
    assert "exists and says something else" in result.stderr
    result = pideploy("kubernetes", "--hosts", HOSTS, "--save", "red.yml")
    assert result.exit_code == 2
    assert "has to end in .pideploy.yml" in result.stderr


def test_print_command_runs_nothing(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    result = pideploy("kubernetes", "-f", str(spec), "-K", "--limit", "red01", "--set", "k3s_version=stable")
    assert result.exit_code == 2, "there is no terminal to ask on"
    result = pideploy(
        "kubernetes", "-f", str(spec), "-K", "--limit", "red01", "--k3s-version", "stable", "--print-command"
    )
    assert shlex.split(result.stdout) == [
        *("ansible-playbook", "-i", str(spec), "--ask-become-pass", "--limit", "red01", "--forks", "5"),
        *("-e", '{"verify_level": "full", "k3s_version": "stable"}', "pideploy.k3s.site"),
    ]
    assert result.stderr == ""
    assert fake.commands == []


def test_strict_host_keys(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    pideploy("kubernetes", "-f", str(spec), "--strict-host-keys")
    arguments = fake.command.extra_vars["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=yes" in arguments
    assert "accept-new" not in arguments
    assert str(ClusterState("red").folder / "known_hosts") in arguments


def test_password_from_file_and_environment(
    pideploy: Invoke, fake: FakeRunner, spec: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "password").write_text("from file\n")
    pideploy("kubernetes", "--become-password-file", "password")
    monkeypatch.setenv("PIDEPLOY_BECOME_PASSWORD", "from environment")
    pideploy("kubernetes")
    assert [c.become_password for c in fake.commands] == ["from file", "from environment"]


@pytest.mark.parametrize(
    "variable",
    [
        "k3s_token=s3cr3t",
        'k3s_extra_args=["--datastore-endpoint=postgres://u:s3cr3t@h/db"]',
        'k3s_extra_args=["--etcd-s3-secret-key", "s3cr3t"]',
        "k3s_extra_args=--vpn-auth=s3cr3t",
        'k3s_server_config={"etcd-s3-access-key": "s3cr3t"}',
    ],
)
def test_a_secret_on_the_command_line_is_refused(pideploy: Invoke, fake: FakeRunner, spec: Path, variable: str) -> None:
    result = pideploy("kubernetes", "--set", variable)
    assert result.exit_code == 2
    assert "a secret on the command line" in result.stderr
    assert "s3cr3t" not in result.output
    assert fake.commands == []


def test_options_without_a_secret_are_taken(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    pairs = ('k3s_server_config={"secrets-encryption": true}', 'k3s_extra_args=["--token-file=/x"]')
    assert pideploy("kubernetes", "--set", pairs[0], "--set", pairs[1]).exit_code == 0
    assert fake.command.extra_vars["k3s_server_config"] == {"secrets-encryption": True}


def test_failure_is_told_host_first(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    full = {"msg": "2 GB free below /var/lib/rancher"}
    fake.events = [
        raw.play("guard: x"),
        raw.result("red", "pideploy.k3s.guard"),
        raw.play("preflight: x"),
        raw.result("red", "pideploy.k3s.node_facts"),
        raw.result("red01", "pideploy.k3s.node_facts", "failed", res=full),
        raw.result("red02", "pideploy.k3s.node_facts", "failed", res=full),
        raw.stats(failed=["red01", "red02"]),
    ]
    fake.status = "failed"
    result = pideploy("kubernetes")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert "red[01-02]: 2 GB free below /var/lib/rancher (preflight)" in lines
    assert "error: failed on 2 hosts: red01, red02" in lines
    assert "is deployed" not in result.output
    fake.status = "successful"
    fake.events = raw.deploy()
    pideploy("kubernetes")
    assert fake.commands[-1].extra_vars["verify_level"] == "full", "no deploy has succeeded yet"


def test_out_of_reach(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    lost = raw.result("red02", "pideploy.k3s.node_facts", "unreachable", res={"msg": "No route to host"})
    fake.events = [raw.play("preflight: x"), lost, raw.stats(dark=["red02"])]
    fake.status = "failed"
    result = pideploy("kubernetes")
    assert result.exit_code == 3
    assert "red02: No route to host (preflight)" in result.stderr
    assert "hint: `ssh HOST` has to work without a question" in result.stderr


def test_ansible_that_does_not_begin(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events, fake.status, fake.output = [], "failed", "[ERROR]: the playbook could not be found\n"
    result = pideploy("kubernetes")
    assert result.exit_code == 1
    assert "error: Ansible: the playbook could not be found" in result.stderr


def test_locked(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    with ClusterState("red").locked("pideploy reset"):
        result = pideploy("kubernetes")
        assert pideploy("status", "--print-command").exit_code == 0
    assert result.exit_code == 4
    assert "error: cluster red is in use by `pideploy reset`" in result.stderr
    assert fake.commands == []


def test_json(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    result = pideploy("kubernetes", "-o", "json")
    shown = json.loads(result.stdout)
    assert shown["ok"]
    assert shown["cluster"] == "red"
    assert [c["status"] for c in shown["checks"]] == ["passed", "not_run"]
    fake.events = []
    result = pideploy("kubernetes", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "not_run"


def test_json_lines(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    lines = [json.loads(line) for line in pideploy("kubernetes", "-o", "jsonl").stdout.splitlines()]
    assert lines[0]["event"] == "run_started"
    assert {"phase_started", "host_result", "phase_finished"} <= {line["event"] for line in lines}
    assert lines[-1]["event"] == "result"
    assert lines[-1]["ok"]


def test_errors_as_json(pideploy: Invoke) -> None:
    result = pideploy("kubernetes", "--hosts", "red[1-", "--output", "json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "hostlist"
    assert result.stderr.startswith("error: ")


def test_junit(pideploy: Invoke, fake: FakeRunner, spec: Path, home: Path) -> None:
    fake.events = raw.deploy(verify=[])
    result = pideploy("kubernetes", "--junit", "report.xml")
    assert result.exit_code == 1
    suite = ET.parse(home / "report.xml").getroot()[0]
    assert suite.get("failures") == "1"


def test_no_secret_is_kept(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    hidden = "  k3s_token: my-very-secret-token\n  k3s_server_config: {datastore-endpoint: 'postgres://u:pw@h'}\n"
    spec.write_text(spec.read_text() + "vars:\n" + hidden)
    fake.events.insert(5, raw.result("red", status="failed", res={"msg": "cannot reach postgres://u:pw@h"}))
    fake.events.insert(5, raw.result("red", status="failed", res={"msg": "token my-very-secret-token is bad"}))
    result = pideploy("kubernetes", "-v")
    assert "token ******** is bad" in result.stderr
    files = [p for p in ClusterState("red").folder.rglob("*") if p.is_file()]
    assert any(p.name == "events.jsonl" for p in files)
    assert not any(
        "my-very-secret-token" in text or "u:pw@h" in text for text in (result.output, *(p.read_text() for p in files))
    )


DIFF = {
    "before": "root=/dev/sda2\n",
    "after": "root=/dev/sda2 cgroup_enable=memory\n",
    "before_header": "/boot/firmware/cmdline.txt",
    "after_header": "/boot/firmware/cmdline.txt",
}


def planned() -> list[raw.Raw]:
    events = raw.deploy(status="ok", verify=[])
    change = raw.result("red01", "pideploy.k3s.kernel_cmdline", "changed", res={"diff": DIFF}, name="Set kernel line")
    at = next(i for i, e in enumerate(events) if e["event_data"].get("name", "").startswith("reboot"))
    return [*events[:at], change, *events[at:]]


def test_plan(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = planned()
    result = pideploy("plan")
    assert result.exit_code == 0
    assert fake.command.check
    lines = result.stdout.splitlines()
    assert lines[0] == "red01"
    assert lines[1] == "  prepare: Set kernel line"
    assert "    +root=/dev/sda2 cgroup_enable=memory" in lines
    assert lines[-1] == "1 change on 1 host to come; nothing was changed now."
    assert "not run: verify (a plan changes nothing that could be verified)" in result.stderr
    assert pideploy("plan", "--detailed-exitcode").exit_code == 5


def test_plan_without_changes(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = raw.deploy(status="ok", verify=[])
    result = pideploy("plan", "--detailed-exitcode")
    assert result.exit_code == 0
    assert "No changes: cluster red is as the spec says." in result.stdout


def test_a_failed_plan_never_says_no_changes(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = [raw.play("preflight: x"), raw.result("red", status="failed"), raw.stats(failed=["red"])]
    fake.status = "failed"
    result = pideploy("plan", "--detailed-exitcode")
    assert result.exit_code == 1
    assert "No changes" not in result.output


def test_verify(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    fake.events = [*raw.verified(), raw.stats()]
    result = pideploy("verify")
    assert result.exit_code == 0
    assert fake.command.extra_vars == {"verify_level": "full"}
    assert "Cluster red was checked; 1 check passed, 1 could not be run" in result.stdout
    fake.events = raw.verified(checks=raw.CHECKS[:1])
    assert "Cluster red was checked and verified by 1 check, in" in pideploy("verify").stdout
    fake.events = fake.events[:1]
    assert pideploy("verify", "--level", "nodes").exit_code == 1


def test_adopt_asks(pideploy: Invoke, fake: FakeRunner, spec: Path) -> None:
    result = pideploy("kubernetes", "--adopt")
    assert result.exit_code == 2
    assert "hint: confirm with --yes" in result.stderr
    assert pideploy("kubernetes", "--adopt", "--yes").exit_code == 0
    assert fake.command.extra_vars["preflight_adopt"] is True
