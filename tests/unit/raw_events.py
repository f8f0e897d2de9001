# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Events as ansible-runner gives them (their shape was taken from a run), for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Raw = dict[str, Any]

SITE = {
    "guard": "pideploy.k3s.guard",
    "preflight": "pideploy.k3s.node_facts",
    "prepare": "pideploy.k3s.hostname",
    "reboot": "ansible.builtin.reboot",
    "artifacts": "pideploy.k3s.k3s_artifact",
    "servers": "pideploy.k3s.k3s_node",
    "agents": "pideploy.k3s.k3s_node",
}


def play(name: str) -> Raw:
    return {"event": "playbook_on_play_start", "stdout": f"PLAY [{name}]", "event_data": {"name": name, "play": name}}


def task(name: str) -> Raw:
    return {"event": "playbook_on_task_start", "stdout": f"TASK [{name}]", "event_data": {"name": name, "task": name}}


def result(
    host: str,
    action: str = "ansible.builtin.command",
    status: str = "ok",
    *,
    name: str = "Do it",
    res: Mapping[str, Any] | None = None,
    duration: float = 0.5,
    **data: Any,
) -> Raw:
    """One host's result; ``changed`` is an ok with ``changed: true``, as Ansible has it."""
    values = {"changed": status == "changed", **(res or {})}
    kind = "ok" if status == "changed" else status
    return {
        "event": f"runner_on_{kind}",
        "stdout": f"{kind}: [{host}]",
        "event_data": {
            "host": host,
            "task": name,
            "task_action": action,
            "resolved_action": action,
            "duration": duration,
            # Ansible keeps the results of skipped tasks to itself.
            **({} if kind == "skipped" else {"res": values}),
            **data,
        },
    }


def stats(failed: list[str] | None = None, dark: list[str] | None = None) -> Raw:
    count = {"failures": dict.fromkeys(failed or [], 1), "dark": dict.fromkeys(dark or [], 1)}
    return {"event": "playbook_on_stats", "stdout": "PLAY RECAP", "event_data": count}


def no_hosts() -> Raw:
    return {"event": "playbook_on_no_hosts_matched", "stdout": "skipping: no hosts matched", "event_data": {}}


VERSION = "v1.36.4+sim1"
CHECKS = [
    {
        "id": "nodes",
        "title": "Nodes are Ready",
        "status": "passed",
        "message": "",
        "evidence": [],
        "duration_s": 1.5,
    },
    {"id": "dns", "title": "DNS answers", "status": "not_run", "message": "these nodes take no pods", "duration_s": 0},
]
NODES = [
    {
        "name": "red",
        "host": "red",
        "role": "server",
        "version": "v1.36.4+sim1",
        "ready": True,
        "internal_ip": "10.0.0.1",
    },
    {"name": "red01", "host": "red01", "role": "agent", "version": VERSION, "ready": True, "reason": None},
]


def verified(
    host: str = "red", checks: list[dict[str, Any]] | None = None, status: str = "ok", **res: Any
) -> list[Raw]:
    """The phase verify with the result of k3s_cluster_info."""
    values = {"ok": status == "ok", "nodes": NODES, "checks": CHECKS if checks is None else checks, **res}
    return [
        play("verify: prove that the cluster works"),
        task("Look at the cluster"),
        result(host, "pideploy.k3s.k3s_cluster_info", status, res=values, name="Look at the cluster"),
    ]


def deploy(
    servers: tuple[str, ...] = ("red",),
    agents: tuple[str, ...] = ("red01", "red02"),
    status: str = "changed",
    *,
    verify: list[Raw] | None = None,
) -> list[Raw]:
    """All events of a deploy that went well."""
    everybody = [*servers, *agents]
    on = {"guard": ["red"], "servers": list(servers), "agents": list(agents)}
    raw: list[Raw] = [{"event": "playbook_on_start", "stdout": "", "event_data": {}}]
    for phase, action in SITE.items():
        raw += [play(f"{phase}: as the name says"), task(f"Do {phase}")]
        hosts = on.get(phase, everybody)
        if not hosts:
            raw.append(no_hosts())
        for host in hosts:
            outcome = "skipped" if phase == "reboot" else "ok" if phase in ("guard", "preflight") else status
            res = {"version": VERSION} if phase == "artifacts" else {}
            raw.append(result(host, action, outcome, res=res, name=f"Do {phase}"))
    return [*raw, *(verified() if verify is None else verify), stats()]
