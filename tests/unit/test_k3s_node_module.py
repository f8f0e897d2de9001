# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""k3s_node on a folder that stands for a node, with a systemd that plays the unit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config, k3s_log, manifest
from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_start import StartError
from ansible_collections.pideploy.k3s.plugins.module_utils.service import (
    ServiceError,
    State,
    Systemd,
    parse_show,
    watch,
)
from tests.unit.pretended_machine import FATAL, HASH, Machine, Make, machine, make

__all__ = ["machine", "make"]  # fixtures
TOP = Path(__file__).resolve().parents[2]


def test_first_start(machine: Machine, make: Make) -> None:
    machine.script = ["starting", "starting", "active"]
    node = make()
    result = node.result()
    assert (result["changed"], result["started"], result["restarted"]) == (True, True, False)
    assert result["token_source"] == "generated"
    assert result["node_ip"] == "10.0.0.1"
    node.apply()
    assert machine.calls == ["daemon-reload", "enable k3s.service", "start --no-block k3s.service"]
    token = machine.root / "etc/rancher/k3s/token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert (machine.root / "etc/rancher/k3s/config.yaml").stat().st_mode & 0o777 == 0o600
    assert (machine.root / "usr/local/bin/kubectl").readlink() == Path("k3s")
    noted = manifest.load(str(machine.root))
    assert (noted["cluster"], noted["node_name"], noted["k3s"]["version"]) == ("red", "red", "v1.36.4+k3s1")
    for secret in node.secrets:
        assert secret not in json.dumps([result, noted])


def test_second_run_changes_nothing(machine: Machine, make: Make) -> None:
    machine.script = ["active"]
    make().apply()
    machine.calls.clear()
    again = make()
    assert again.result()["changed"] is False
    assert again.result()["diff"] == []
    assert again.token_source == "kept"
    before = {p: p.stat().st_mtime_ns for p in machine.root.rglob("*") if p.is_file()}
    again.apply()
    assert machine.calls == []
    assert {p: p.stat().st_mtime_ns for p in machine.root.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "change", [{"config": 'node-ip: "10.0.0.1"\ndebug: true\n'}, {"unit": "[Unit]\n#\n"}, {"dropin": "[Service]\n"},
               {"secret_config": {"datastore-endpoint": "postgres://u:p@h/d"}}, "binary"],
)
def test_a_change_restarts_once(machine: Machine, make: Make, change: Any) -> None:
    machine.script = ["active"]
    make().apply()
    machine.calls.clear()
    if change == "binary":
        (machine.root / "usr/local/bin/k3s").write_bytes(b"k3s, newer")
        change = {}
    machine.script = ["starting", "active"]
    node = make(**change)
    assert node.result()["restarted"]
    assert "p@h" not in json.dumps(node.result())
    node.apply()
    assert [c for c in machine.calls if "start" in c] == ["restart --no-block k3s.service"]
    assert make(**change).result()["changed"] is False


def test_a_refused_configuration_is_undone(machine: Machine, make: Make) -> None:
    machine.script = ["active"]
    make().apply()
    config = machine.root / "etc/rancher/k3s/config.yaml"
    former, noted = config.read_text(), manifest.load(str(machine.root))
    machine.script = ["starting", "ended"]
    node = make(config='node-ip: "10.0.0.1"\nno-such-flag: true\n', dropin="[Service]\n")
    original = machine.run

    def run(argv: list[str]) -> tuple[int, str, str]:
        if argv[1] == "restart" and not machine.script:
            machine.script = ["starting", "active"]  # the former configuration is good
        return original(argv)

    node.systemd._run = run
    with pytest.raises(StartError, match=r"not defined: -no-such-flag.*former one is running") as error:
        node.apply()
    assert error.value.undone
    assert "knows no option" in error.value.hint
    assert config.read_text() == former
    assert not (machine.root / k3s_config.dropin_path("server").lstrip("/")).exists()
    assert manifest.load(str(machine.root)) == noted
    assert machine.state.active == "active"
    assert make().result()["changed"] is False


def test_a_first_start_that_fails_is_stopped_and_says_why(machine: Machine, make: Make) -> None:
    machine.script = ["starting", "ended"]
    with pytest.raises(StartError, match="did not start and was stopped: Error: flag provided") as error:
        make().apply()
    assert machine.calls[-2:] == ["journalctl --sync", "stop k3s.service"]
    assert error.value.journal == [FATAL]
    machine.script = ["active"]
    make().apply()  # the next run starts it
    assert machine.state.active == "active"


def test_a_slow_start_is_left_alone(machine: Machine, make: Make) -> None:
    machine.script = ["starting"] * 1000
    with pytest.raises(StartError, match="still starting after 30 s") as error:
        make().apply()
    assert not error.value.undone
    assert "stop k3s.service" not in machine.calls
    assert machine.now == pytest.approx(30, abs=1)


AGENT = {"role": "agent", "wait": "none", "token": f"K10{HASH}::node:pw123456"}


def test_an_agent_is_not_waited_for(machine: Machine, make: Make) -> None:
    make(**AGENT).apply()
    assert machine.state.active == "activating"
    assert machine.now == 0
    assert (machine.root / "etc/rancher/k3s/token").read_text() == AGENT["token"] + "\n"
    assert not (machine.root / "etc/rancher/k3s/agent-token").exists()


def test_a_plan_for_a_fresh_agent_and_its_missing_token(make: Make) -> None:
    node = make(**AGENT | {"token": ""})
    assert node.result()["started"]
    assert node.result()["diff"][0]["after"] == "<set at deploy>\n"
    with pytest.raises(StartError, match="needs the join token"):
        node.apply()


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ({}, {"cluster": "blue"}, "belongs to cluster 'red', not to 'blue'"),
        ({}, AGENT, "runs k3s as server and shall be agent"),
        (AGENT, {}, "runs k3s as agent and shall be server"),
    ],
)
def test_other_owner(machine: Machine, make: Make, first: Any, then: Any, words: str) -> None:
    machine.script = ["active"]
    make(**first).apply()
    with pytest.raises(StartError, match=words):
        make(**then)


def test_a_foreign_k3s_is_taken_over_only_when_asked(machine: Machine, make: Make) -> None:
    unit = machine.root / "etc/systemd/system/k3s.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n# theirs\n")
    with pytest.raises(StartError, match="did not install"):
        make()
    machine.script = ["active"]
    make(adopt=True).apply()
    backup = manifest.load(str(machine.root))["files"]["/etc/systemd/system/k3s.service"]["backup"]
    assert (machine.root / backup.lstrip("/")).read_text() == "[Unit]\n# theirs\n"


def test_no_binary_and_wrong_binary(machine: Machine, make: Make) -> None:
    with pytest.raises(StartError, match="checksum"):
        make(sha256="0" * 64).apply()
    (machine.root / "usr/local/bin/k3s").unlink()
    assert make(sha256="0" * 64).result()["started"]  # a plan before the push
    with pytest.raises(StartError, match="no k3s at"):
        make().apply()


def test_the_wait_for_the_clock_is_bounded(machine: Machine, make: Make) -> None:
    unit = machine.root / "usr/lib/systemd/system/systemd-time-wait-sync.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    machine.script = ["active"]
    make().apply()
    assert "enable systemd-time-wait-sync.service" in machine.calls
    dropin = machine.root / "etc/systemd/system/systemd-time-wait-sync.service.d/10-pideploy.conf"
    assert "TimeoutStartSec=120" in dropin.read_text()


def test_watch_sees_the_old_process_as_old() -> None:
    before = State(active="active", pid=1, invocation="old")
    states = [before._replace(job=True), before._replace(active="deactivating", job=True),
              before._replace(active="activating", pid=2, invocation="new", job=True)]
    seen: list[State] = []

    def show() -> State:
        seen.append(states[min(len(seen), 2)])
        return seen[-1]

    outcome = watch(show, before, lambda s: True, 10, sleep=lambda s: None)
    assert (outcome.verdict, len(seen)) == ("ready", 3)


def test_watch_waits_for_a_kubelet_that_ends_after_k3s_said_ready() -> None:
    on = State(active="active", sub="running", pid=2, invocation="new")
    states = [on, on, on, on._replace(active="activating", sub="auto-restart", pid=0)]
    now = iter(range(100))
    outcome = watch(lambda: states.pop(0), State(), lambda s: True, 50, settle=10, clock=lambda: float(next(now)),
                    sleep=lambda s: None)
    assert (outcome.verdict, states) == ("failed", [])


def test_watch_sees_a_request_that_systemd_gave_up() -> None:
    outcome = watch(lambda: State(), State(), lambda s: True, 10, sleep=lambda s: None)
    assert outcome.verdict == "failed"


def test_show_of_an_old_systemd() -> None:
    state = parse_show("ActiveState=active\nMainPID=[not set]\nUnitFileState=enabled-runtime\n")
    assert (state.active, state.pid, state.enabled, state.job) == ("active", 0, True, False)


def test_systemctl_errors_are_told() -> None:
    systemd = Systemd(lambda argv: (1, "", "Access denied\n"))
    with pytest.raises(ServiceError, match=r"systemctl start --no-block k3s.service failed: Access denied"):
        systemd.start("k3s.service")


@pytest.mark.parametrize(
    ("journal", "cause", "remedy"),
    [
        ("level\n" + FATAL, "flag provided but not defined: -no-such-flag", "no option of that name"),
        ('time="x" level=fatal msg="failed to find memory cgroup (v2)"', "memory cgroup", "cgroup_enable=memory"),
        ('time="x" level=error msg="token CA hash does not match the Cluster CA certificate hash: 0 != 3"', "CA hash",
         "reset this node"),
        ('E1122 01:39:17.1 232 run.go:72] err="kubelet is configured to not run on a host using cgroup v1"',
         "cgroup v1", "fail-cgroupv1=false"),
        ('I1122 server.go:541] "Golang settings" GOTRACEBACK=""\n'
         'time="x" level=fatal msg="Error: failed to parse kubelet flag: unknown flag: --no-such"\nI1122 more',
         "unknown flag: --no-such", "k3s_kubelet_args"),
        # A real server whose kubelet got a wrong flag: the cause is neither fatal nor the last error.
        ('time="x" level=error msg="Shutdown request received: \\"kubelet exited: failed to parse kubelet flag: '
         'unknown flag: --no-such\\""\n'
         'time="x" level=error msg="Unable to write event (may retry after sleeping)" error="x"\n'
         'time="x" level=error msg="Failed to migrate node-password secrets: context canceled"',
         'Shutdown request received: "kubelet exited', "k3s_kubelet_args"),
        ('time="x" level=error msg="Sending HTTP/1.1 503 response to 127.0.0.1:1: runtime core not ready"\n'
         'time="x" level=error msg="no space left on device"\ntime="x" level=error msg="Sending HTTP/1.1 503 response"',
         "no space left", "disk is full"),
        ("k3s.service: Main process exited\nlast words", "last words|Main process", ""),
    ],
)
def test_causes_and_remedies(journal: str, cause: str, remedy: str) -> None:
    lines = k3s_log.causes(journal)
    assert any(word in lines[0] for word in cause.split("|"))
    assert remedy in k3s_log.remedy(lines)


def run_module(name: str, args: dict[str, Any], check: bool = False) -> tuple[int, dict[str, Any]]:
    args = args | {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.pideploy.k3s.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": args}), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(TOP / "collections"), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_module_in_check_mode_writes_nothing(machine: Machine) -> None:
    args = {"role": "server", "cluster": "red", "config": "debug: true\n", "unit": "[Unit]\n", "token": "sesame-open-1",
            "secret_config": {"datastore-endpoint": "mysql://u:hush@h/d"}, "root": str(machine.root)}
    before = sorted(machine.root.rglob("*"))
    rc, result = run_module("k3s_node", args, check=True)
    assert (rc, result["changed"], result["started"]) == (0, True, True)
    assert sorted(machine.root.rglob("*")) == before
    rc, result = run_module("k3s_node", args)
    assert (rc, result["changed"]) == (0, True)
    assert (machine.root / "etc/rancher/k3s/token").read_text() == "sesame-open-1\n"
    assert "hush" in (machine.root / "etc/rancher/k3s/config.yaml").read_text()
    text = json.dumps(result)
    assert "sesame" not in text
    assert "hush" not in text


def test_join_info(machine: Machine) -> None:
    root = machine.root
    rc, result = run_module("k3s_join_info", {"root": str(root), "node_ip": "10.0.0.1"}, check=True)
    assert (rc, result["available"], result["server_url"]) == (0, False, "https://10.0.0.1:6443")
    rc, result = run_module("k3s_join_info", {"root": str(root)})
    assert (rc, result["available"], result["agent_token"]) == (0, False, "")
    assert (result["reason"], result["hint"]) == ("this host runs no k3s server", "deploy the servers first")
    for path, text in {
        "etc/systemd/system/k3s.service": "[Unit]\n",
        "etc/rancher/k3s/config.yaml": 'node-ip: "fd00::1,10.0.0.1"\nhttps-listen-port: 7443\n',
        "var/lib/rancher/k3s/server/agent-token": f"K10{HASH}::server:pw\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    rc, result = run_module("k3s_join_info", {"root": str(root)})
    assert (rc, result["available"], result["reason"]) == (0, True, "")
    assert result["server_url"] == "https://[fd00::1]:7443"
    assert result["agent_token"] == f"K10{HASH}::node:pw"
    assert result["ca_hash"] == HASH
