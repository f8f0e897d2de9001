# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pideploy import junit
from pideploy.collector import Collector
from pideploy.event_reader import EventReader
from pideploy.events import RunFinished, RunStarted
from pideploy.phases import PHASES, SERVER_LOST
from pideploy.results import DeployResult
from tests.unit import raw_events as raw

AGENTS = ("red01", "red02")


def collect(
    events: Iterable[raw.Raw],
    *,
    agents: Sequence[str] = AGENTS,
    status: Any = None,
    limit: Sequence[str] = (),
    plan: bool = False,
    verb: str = "deploy",
) -> DeployResult:
    events = list(events)
    collector = Collector(wanted=PHASES, servers=["red"], agents=agents, limit=limit, plan=plan)
    collector.add(RunStarted(0.0, "run1", "red", verb, ("red", *agents), "/state/runs/run1"))
    reader = EventReader()
    for event in events:
        for typed in reader.feed(event):
            collector.add(typed)
    for typed in reader.end_phase():
        collector.add(typed)
    failed = any(
        e["event"] == "playbook_on_stats" and (e["event_data"]["failures"] or e["event_data"]["dark"]) for e in events
    )
    collector.add(RunFinished(9.0, status or ("failed" if failed else "successful"), int(failed), 9.0))
    return collector.result()


def phase_states(result: DeployResult) -> dict[str, str]:
    return {p.id: p.status for p in result.phases}


def test_a_good_deploy() -> None:
    result = collect(raw.deploy())
    assert result.ok
    assert result.changed
    assert result.exit_code == 0
    assert result.error() is None
    assert phase_states(result) == {
        "guard": "ok",
        "preflight": "ok",
        "prepare": "changed",
        "reboot": "not_run",
        "artifacts": "changed",
        "servers": "changed",
        "agents": "changed",
        "verify": "ok",
    }
    reboot = next(p for p in result.phases if p.id == "reboot")
    assert (reboot.needed, reboot.reason) == (False, "no host needs a reboot")
    assert result.version == "v1.36.4+sim1"
    assert [(n.name, n.role, n.ready, n.internal_ip, n.reason) for n in result.nodes] == [
        ("red", "server", True, "10.0.0.1", ""),
        ("red01", "agent", True, "", ""),
    ]
    assert [(c.id, c.status, c.duration) for c in result.checks] == [("nodes", "passed", 1.5), ("dns", "not_run", 0)]
    assert result.hosts["red01"].phases["agents"] == "changed"


def test_host_tasks_are_modules_that_ran_on_a_node() -> None:
    result = collect(raw.deploy())
    # preflight, prepare, artifacts, then servers or agents; the guard ran here and the reboot was skipped
    assert {h: r.host_tasks for h, r in result.hosts.items()} == {"red": 5, "red01": 4, "red02": 4}
    extra = [
        raw.play("prepare: x"),
        raw.result("red", "ansible.builtin.debug"),
        raw.result("red", "pideploy.k3s.k3s_artifact", res={"touched": False}),
        raw.result("red01", res={"_ansible_delegated_vars": {"ansible_delegated_host": "red"}}),
        raw.result("red01", res={"_ansible_delegated_vars": {"ansible_delegated_host": "localhost"}}),
    ]
    result = collect(extra)
    assert {h: r.host_tasks for h, r in result.hosts.items()} == {"red": 1, "red01": 0, "red02": 0}


def test_second_run_changes_nothing() -> None:
    result = collect(raw.deploy(status="ok"))
    assert result.ok
    assert not result.changed


def test_no_agents() -> None:
    result = collect(raw.deploy(agents=()), agents=())
    agents = next(p for p in result.phases if p.id == "agents")
    assert (agents.status, agents.reason, agents.needed) == ("not_run", "no agents", False)
    assert result.ok


def test_no_agents_though_a_play_asserts_something() -> None:
    events = raw.deploy(agents=())
    at = next(i for i, e in enumerate(events) if e["event"] == "playbook_on_no_hosts_matched")
    events.insert(at, raw.result("red", "ansible.builtin.assert"))
    result = collect(events, agents=())
    assert result.ok
    assert phase_states(result)["agents"] == "not_run"


@pytest.mark.parametrize("phase", ["guard", "preflight", "artifacts", "servers", "agents", "verify"])
def test_a_phase_without_hosts_makes_the_run_not_ok(phase: str) -> None:
    events: list[raw.Raw] = []
    current = ""
    for event in raw.deploy():
        if event["event"] == "playbook_on_play_start":
            current = event["event_data"]["name"].partition(":")[0]
            events.append(event)
        elif current == phase and event["event"] != "playbook_on_stats":
            continue
        else:
            events.append(event)
    result = collect(events)
    assert not result.ok
    assert result.exit_code == 1
    error = result.error()
    assert error is not None
    assert error.message == f"not run: {phase} (it had no host)"


def test_who_is_only_told_of_a_lost_server_has_not_failed() -> None:
    name = f"pideploy.k3s.preflight : {SERVER_LOST}"
    result = collect(
        [
            raw.play("preflight: x"),
            raw.result("red", "pideploy.k3s.node_facts", "unreachable", res={"msg": "no route"}),
            raw.result("red01", "pideploy.k3s.node_facts"),
            raw.result("red01", "ansible.builtin.assert", "failed", name=name, res={"msg": "red is out of reach"}),
            raw.stats(["red01"], ["red"]),
        ]
    )
    assert (result.exit_code, result.unreachable) == (3, ["red"])
    assert [f.host for f in result.failures] == ["red"]
    assert result.hosts["red01"].status == "ok"
    assert result.warnings == ["red is out of reach"]


def test_the_collection_names_that_task_so() -> None:
    top = Path(__file__).parents[2] / "collections/ansible_collections/pideploy/k3s"
    for path in ("playbooks/phases/agents.yml", "roles/preflight/tasks/verdict.yml"):
        assert f"- name: {SERVER_LOST}\n" in (top / path).read_text()


def test_what_had_nothing_to_do_is_no_failure_of_a_failed_run() -> None:
    lost = raw.verified(status="failed", msg="no")
    result = collect([*raw.deploy(verify=lost)[:-1], raw.stats(["red"])])
    assert not result.ok
    reboot = next(p for p in result.phases if p.id == "reboot")
    assert (reboot.reason, reboot.needed) == ("no host needs a reboot", False)


def test_verify_without_checks_is_not_run() -> None:
    result = collect(raw.deploy(verify=[raw.play("verify: x"), raw.result("red", "ansible.builtin.debug")]))
    assert phase_states(result)["verify"] == "not_run"
    assert not result.ok


def test_a_failed_check_is_never_ok() -> None:
    checks = [{"id": "nodes", "title": "Nodes", "status": "failed", "message": "red02 is not Ready", "evidence": ["x"]}]
    result = collect(raw.deploy(verify=raw.verified(checks=checks)))
    assert not result.ok
    assert result.exit_code == 1
    assert phase_states(result)["verify"] == "failed"
    assert result.to_dict()["error"]["message"] == "the cluster is not well: Nodes: red02 is not Ready"


def test_one_failed_host() -> None:
    events = [
        raw.play("guard: x"),
        raw.result("red", "pideploy.k3s.guard"),
        raw.play("preflight: x"),
        raw.result("red", "pideploy.k3s.node_facts"),
        raw.result("red01", "pideploy.k3s.node_facts", "failed", res={"msg": "no cgroups"}),
        raw.result("red02", "pideploy.k3s.node_facts"),
        raw.stats(failed=["red01"]),
    ]
    result = collect(events)
    assert not result.ok
    assert [(f.host, f.phase, f.message) for f in result.failures] == [("red01", "preflight", "no cgroups")]
    assert {h: r.status for h, r in result.hosts.items()} == {"red": "ok", "red01": "failed", "red02": "ok"}
    error = result.error()
    assert error is not None
    assert error.hosts == ("red01",)
    servers = next(p for p in result.phases if p.id == "servers")
    assert (servers.status, servers.reason) == ("not_run", "something before it failed")


def test_what_the_guard_refuses_is_the_specs_fault() -> None:
    refused = raw.result("red", "pideploy.k3s.guard", "failed", res={"msg": "2 servers"})
    result = collect([raw.play("guard: x"), refused, raw.stats(["red"])])
    error = result.error()
    assert error is not None
    assert (error.exit_code, error.message, error.hosts) == (2, "2 servers", ())


def test_a_rescued_failure_is_none() -> None:
    events = raw.deploy()
    at = next(i for i, e in enumerate(events) if e["event_data"].get("name", "").startswith("prepare"))
    events[at + 1 : at + 1] = [raw.result("red", status="failed", res={"msg": "first try"}), raw.result("red")]
    result = collect(events)
    assert result.ok
    assert result.failures == []


def test_hosts_out_of_reach() -> None:
    events = [
        raw.play("guard: x"),
        raw.result("red", "pideploy.k3s.guard"),
        raw.play("preflight: x"),
        raw.result("red02", "pideploy.k3s.node_facts", "unreachable", res={"msg": "Connection timed out"}),
        raw.stats(dark=["red02"]),
    ]
    result = collect(events)
    assert result.unreachable == ["red02"]
    assert result.exit_code == 3
    both = [*events[:-1], raw.result("red", status="failed"), raw.stats(failed=["red"], dark=["red02"])]
    assert collect(both).exit_code == 1


def test_without_a_recap_all_failures_count() -> None:
    result = collect(
        [raw.play("preflight: x"), raw.result("red", status="failed", res={"msg": "x"})], status="canceled"
    )
    assert result.exit_code == 130
    assert [f.message for f in result.failures] == ["x"]


def test_interrupted() -> None:
    events = [e for e in raw.deploy() if e["event"] != "playbook_on_stats"][:6]
    result = collect(events, status="interrupted")
    assert not result.ok
    assert result.exit_code == 130
    assert {p.reason for p in result.phases if p.status == "not_run"} == {"stopped before"}


def test_limit_leaves_out_servers_but_never_verify() -> None:
    events = raw.deploy(servers=(), agents=("red01",), verify=raw.verified("red01"))
    result = collect(events, limit=["red01"])
    servers = next(p for p in result.phases if p.id == "servers")
    assert (servers.status, servers.reason, servers.needed) == ("not_run", "no host of it is in the limit", False)
    assert result.ok
    assert set(result.hosts) == {"red01"}
    assert not collect(raw.deploy(servers=(), agents=("red01",), verify=[]), limit=["red01"]).ok


def test_plan() -> None:
    diff = {"before": "a\n", "after": "b\n", "before_header": "/boot/cmdline.txt", "after_header": "/boot/cmdline.txt"}
    events = raw.deploy(verify=[])
    events.insert(-1, raw.result("red", "pideploy.k3s.kernel_cmdline", "changed", res={"diff": diff}, name="Set it"))
    result = collect(events, plan=True, verb="plan")
    assert result.ok
    assert {p.id: p.needed for p in result.phases if p.status == "not_run"} == {"reboot": False, "verify": False}
    assert [c.diff for c in result.changes if c.task == "Set it"] == [(diff,)]


def test_a_plan_has_not_verified_anything() -> None:
    """Whatever the plays of verify say in check mode."""
    result = collect(raw.deploy(verify=raw.verified(checks=[])), plan=True, verb="plan")
    verify = result.phases[-1]
    assert (verify.id, verify.status, verify.needed) == ("verify", "not_run", False)
    assert verify.reason == "a plan changes nothing that could be verified"
    assert set(verify.hosts.values()) == {"skipped"}
    assert result.hosts["red"].phases["verify"] == "skipped"
    assert result.ok
    broken = [raw.play("verify: x"), raw.result("red", status="failed"), raw.stats(["red"])]
    result = collect(raw.deploy(verify=broken)[:-1], plan=True, verb="plan")
    assert result.phases[-1].status == "failed"


def test_findings_come_from_the_verdict() -> None:
    finding = {"level": "warning", "host": "red", "code": "low_memory", "message": "1 GB", "hint": "more", "odd": 1}
    events = raw.deploy()
    events.insert(1, raw.result("red", "pideploy.k3s.preflight_verdict", res={"findings": [finding]}))
    result = collect(events)
    assert [(f.level, f.code, f.hint) for f in result.findings] == [("warning", "low_memory", "more")]


def test_json_shape() -> None:
    shown = json.loads(json.dumps(collect(raw.deploy()).to_dict()))
    assert shown["schema"] == 1
    assert shown["error"] is None
    assert "data" not in shown
    assert shown["phases"][0] == {
        "id": "guard",
        "title": "Check spec and inventory",
        "status": "ok",
        "hosts": {"red": "ok"},
        "duration": shown["phases"][0]["duration"],
        "reason": "",
        "needed": True,
    }
    assert collect([]).to_dict()["error"]["code"] == "not_run"


def test_junit() -> None:
    checks = [
        *raw.CHECKS,
        {"id": "pvc", "title": "t", "status": "failed", "message": "no\x00 <b>", "evidence": ["e\x1b"]},
    ]
    root = ET.fromstring(junit.render(collect(raw.deploy(verify=raw.verified(checks=checks)))))
    suites = {s.get("name"): s for s in root}
    assert {k: v for k, v in suites["red.checks"].attrib.items() if k != "name"} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
    }
    cases = {c.get("name"): c for c in suites["red.checks"]}
    skipped, failure = cases["dns"].find("skipped"), cases["pvc"].find("failure")
    assert skipped is not None
    assert skipped.get("message") == "not run: these nodes take no pods"
    assert failure is not None
    assert failure.get("message") == "no <b>"
    assert suites["red.phases"].get("tests") == "8"
    root = ET.fromstring(junit.render(collect([])))
    assert root[0].get("failures") == "8"
