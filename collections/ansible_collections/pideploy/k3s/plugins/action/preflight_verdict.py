# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict over all hosts, from their facts. Connects to none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.pideploy.k3s.plugins.module_utils import etc_hosts, preflight

__metaclass__ = type


def _group(groups: Mapping[str, list[str]], *names: str) -> list[str]:
    """Return the hosts of the first of these groups that exists: ours first, then k3s-ansible's."""
    return next((list(groups[name]) for name in names if name in groups), [])


def wanted(variables: Mapping[str, Any], role: str, cluster: str) -> dict[str, Any]:
    """Return what a host is wanted to be, from its variables; ``cluster`` is the name of a cluster without one."""

    def text(*names: str) -> str:
        return next((str(variables[name]) for name in names if variables.get(name)), "")

    return {
        "role": role,
        "node_name": text("hostname_name", "k3s_node_name"),
        "cluster": text("k3s_cluster_name") or cluster,
        "version": text("k3s_version"),
        "static_address": text("static_ip_address"),
        "node_ip": text("k3s_node_ip"),
    }


class ActionModule(ActionBase):
    """Collect facts and variables of the play's hosts, and judge them."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str"},
                "min_free_mb": {"type": "int", "default": 1500},
                "max_clock_skew": {"type": "float", "default": 30.0},
                "adopt": {"type": "bool", "default": False},
            }
        )
        hostvars, groups = variables["hostvars"], variables["groups"]
        servers = _group(groups, "k3s_server", "server")
        everyone = _group(groups, "k3s_cluster") or [*_group(groups, "server"), *_group(groups, "agent")]
        play = list(args["hosts"] or variables.get("ansible_play_hosts_all") or ())
        everyone = list(dict.fromkeys([*everyone, *play]))
        facts: dict[str, Any] = {}
        wants: dict[str, Any] = {}
        for host in everyone:
            own = hostvars[host]
            role = "server" if host in servers else "agent"
            wants[host] = wanted(own, role, (servers or everyone)[0])
            node = (own.get("ansible_facts") or {}).get("pideploy_node")
            if node:
                facts[host] = node
        judged = {host: facts[host] for host in play if host in facts}
        if not judged:
            raise AnsibleActionFail("there are no facts of any host: run pideploy.k3s.node_facts first")
        options = preflight.Options(args["min_free_mb"], args["max_clock_skew"], args["adopt"])
        findings = preflight.judge(judged, wants, options)
        names = {host: preflight.node_name(one, wants[host]) for host, one in facts.items()}
        nodes = [
            (
                names.get(host) or wants[host]["node_name"],
                preflight.node_address(facts[host], wants[host]) if host in facts else wants[host]["node_ip"] or None,
            )
            for host in everyone
        ]
        result.update(
            changed=False,
            findings=[finding._asdict() for finding in findings],
            failed_hosts=preflight.failed_hosts(findings),
            stopping_hosts=preflight.stopping_hosts(findings, servers),
            node_names=names,
            hosts=etc_hosts.cluster_entries(nodes, [one["etc_hosts_block"] for one in facts.values()]),
        )
        lines = preflight.warning_lines(findings)
        if lines:
            result["warnings"] = [*(result.get("warnings") or []), *lines]
        return result
