# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a cluster forget nodes that were reset: their Node objects, and the passwords that k3s keeps for their names.

A host without its former ``/etc/rancher/node/password`` cannot join again under its name while that is there.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils.kubectl import Kubectl

__metaclass__ = type

NAMESPACE = "kube-system"


class Gone(NamedTuple):
    """A host that was reset: its node name and machine ID (empty: not known)."""

    name: str
    machine_id: str


class Plan(NamedTuple):
    """What there is to delete, and the nodes that stay: node name -> why."""

    nodes: List[str]
    secrets: List[str]
    kept: Dict[str, str]


def secret_name(node: str) -> str:
    """Return the name of the secret in which k3s keeps the password of a node name."""
    return node + ".node-password.k3s"


def _is_ready(node: Dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def plan(gone: Sequence[Gone], nodes: Sequence[Dict[str, Any]], secrets: Sequence[Dict[str, Any]]) -> Plan:
    """Judge by the objects of ``kubectl get nodes`` and ``get secrets``.

    A Ready node with the same name and another machine ID is another machine, which is not to be thrown out.
    """
    by_name = {node["metadata"]["name"]: node for node in nodes}
    noted = {secret["metadata"]["name"] for secret in secrets}
    result = Plan([], [], {})
    for host in gone:
        node = by_name.get(host.name)
        if node is not None:
            machine = str(node.get("status", {}).get("nodeInfo", {}).get("machineID") or "")
            if _is_ready(node) and host.machine_id and machine and machine != host.machine_id:
                result.kept[host.name] = "it is Ready on another machine (machine ID %s)" % machine
                continue
            result.nodes.append(host.name)
        if secret_name(host.name) in noted:
            result.secrets.append(secret_name(host.name))
    return result


def look(kubectl: Kubectl, gone: Sequence[Gone]) -> Plan:
    """Ask the cluster.

    :raises KubectlError: it did not answer.
    """
    return plan(gone, kubectl.items("nodes"), kubectl.items("secrets", "--namespace=" + NAMESPACE))


def forget(kubectl: Kubectl, found: Plan) -> None:
    """Delete what ``look`` found. k3s drops the password with the Node; that is made sure of.

    :raises KubectlError: the API server refused.
    """
    if found.nodes:
        kubectl.call(["delete", "nodes", "--ignore-not-found", *found.nodes], timeout=60)
    if found.secrets:
        where = "--namespace=" + NAMESPACE
        kubectl.call(["delete", "secrets", where, "--ignore-not-found", *found.secrets], timeout=60)
