# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with an inventory before anything is connected to. Pure: groups and variables in, findings out."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import hosts as names
from ansible_collections.pideploy.k3s.plugins.module_utils import spec_variables
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import HostlistError, fold

MAX_SKEW = 3  # minor versions: https://kubernetes.io/releases/version-skew-policy/#kubelet
SERVERS_ALLOWED = 1

_EXACT = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?\+[0-9a-z]*[a-z](\d+)")
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")

# Variables that are read although no role declares them.
OTHER_VARIABLES = ("ansible_host", "ansible_port", "static_ip_address")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it; ``hosts`` is whom it is about (empty: the whole inventory)."""

    code: str
    message: str
    hint: str = ""
    hosts: tuple[str, ...] = ()

    def text(self) -> str:
        """Return one line for people: hosts first, then what is wrong, then what to do."""
        who = short(self.hosts)
        return "%s%s%s" % (who + ": " if who else "", self.message, ". " + self.hint if self.hint else "")


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which hosts are servers and agents, from which groups; ``cluster`` are the hosts of k3s_cluster."""

    servers: list[str]
    agents: list[str]
    cluster: list[str]
    server_group: str
    agent_group: str

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys([*self.servers, *self.agents]))


def short(hosts: Sequence[str]) -> str:
    """Return hosts as a hostlist; where an inventory by hand has names that none can hold, one after the other."""
    try:
        return fold(hosts)
    except HostlistError:
        return ", ".join(hosts)


def roles_of(groups: Mapping[str, Sequence[str]]) -> Roles:
    """Choose the groups as the playbooks do: ours where they exist, else those of k3s-ansible."""
    server_group = "k3s_server" if "k3s_server" in groups else "server"
    agent_group = "k3s_agent" if "k3s_agent" in groups else "agent"
    return Roles(
        servers=list(groups.get(server_group, ())),
        agents=list(groups.get(agent_group, ())),
        cluster=list(groups.get("k3s_cluster", ())),
        server_group=server_group,
        agent_group=agent_group,
    )


def wanted(name: str) -> bool:
    """Say whether :func:`check` looks at a variable; the others need not be evaluated."""
    prefixes = tuple(role + "_" for role in spec_variables.role_names())
    return name.startswith(prefixes) or name in OTHER_VARIABLES or name in spec_variables.K3S_ANSIBLE


def check(groups: Mapping[str, Sequence[str]], variables: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return everything that is wrong; equal findings of several hosts are one.

    :param groups: Ansible's ``groups``.
    :param variables: for each host its variables (those that are :func:`wanted`), without those that cannot be
        evaluated before the hosts are known.
    """
    roles = roles_of(groups)
    findings = list(_groups(roles))
    if not findings:
        findings += [*_addresses(roles, variables), *_node_names(roles, variables), *_versions(roles, variables)]
        findings += _cluster_names(roles, variables)
    for host in roles.all:
        findings += _variables(host, variables.get(host, {}))
    merged: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        merged.setdefault((finding.code, finding.message, finding.hint), []).extend(finding.hosts)
    return [Finding(*key, hosts=tuple(dict.fromkeys(hosts))) for key, hosts in merged.items()]


def _groups(roles: Roles) -> Iterator[Finding]:
    if not roles.all:
        hint = (
            "Give an inventory: -i NAME.pideploy.yml, or one with the groups k3s_server and k3s_agent (or server and "
            "agent) below k3s_cluster. If you gave one, a warning above says why it could not be read."
        )
        yield Finding("no_hosts", "the inventory has no k3s hosts", hint)
        return
    if not roles.servers:
        yield Finding("no_server", "the group '%s' is empty: a cluster needs a server" % roles.server_group)
    elif len(roles.servers) > SERVERS_ALLOWED:
        hint = "This version installs one server and any number of agents: move the others to '%s'." % roles.agent_group
        yield Finding("too_many_servers", "%d servers" % len(roles.servers), hint, tuple(roles.servers))
    both = [host for host in roles.servers if host in roles.agents]
    if both:
        hint = "Take it out of '%s': a server runs pods as well." % roles.agent_group
        yield Finding("both_roles", "is server and agent", hint, tuple(both))
    outside = [host for host in roles.all if host not in roles.cluster]
    if outside:
        hint = "Add a group k3s_cluster with the children %s and %s." % (roles.server_group, roles.agent_group)
        yield Finding("not_in_cluster", "not in the group k3s_cluster", hint, tuple(outside))
    idle = [host for host in roles.cluster if host not in roles.all]
    if idle:
        hint = "Add it to %s or %s." % (roles.server_group, roles.agent_group)
        yield Finding("no_role", "in k3s_cluster, but neither server nor agent", hint, tuple(idle))


def _addresses(roles: Roles, variables: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    reached: dict[tuple[str, str], list[str]] = {}
    static: dict[str, list[str]] = {}
    for host in roles.all:
        known = variables.get(host, {})
        where = (str(known.get("ansible_host") or host).lower(), str(known.get("ansible_port") or ""))
        reached.setdefault(where, []).append(host)
        address = known.get("static_ip_address")
        if address:
            try:
                static.setdefault(str(ipaddress.ip_interface(address).ip), []).append(host)
            except ValueError:
                hint = "Write it with the length of the network: 10.0.0.10/24."
                yield Finding("bad_address", "static_ip_address '%s' is no address" % address, hint, (host,))
    for (address, _port), hosts in reached.items():
        if len(hosts) > 1:
            hint = "Each host needs an ansible_host of its own."
            yield Finding("duplicate_address", "all are reached at %s" % address, hint, tuple(hosts))
    for address, hosts in static.items():
        if len(hosts) > 1:
            hint = "Each host needs a static_ip_address of its own."
            yield Finding("duplicate_address", "all shall have the address %s" % address, hint, tuple(hosts))


def _node_names(roles: Roles, variables: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    used: dict[str, list[str]] = {}
    for host in roles.all:
        name = variables.get(host, {}).get("k3s_node_name")
        if not name or not isinstance(name, str):
            continue  # the machine's own hostname: preflight sees it
        used.setdefault(name, []).append(host)
        if len(name) > 253 or not _NODE_NAME.fullmatch(name):
            hint = "Lower-case letters, digits and '-' only."
            yield Finding("bad_node_name", "k3s_node_name '%s' is no name for a node" % name, hint, (host,))
    for name, hosts in used.items():
        if len(hosts) > 1:
            hint = "Each host needs a k3s_node_name of its own."
            yield Finding("duplicate_node_name", "all would be the node '%s'" % name, hint, tuple(hosts))


def _cluster_names(roles: Roles, variables: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    given = {host: variables.get(host, {}).get("k3s_cluster_name") for host in roles.all}
    used = sorted({str(name) for name in given.values() if name})
    if len(used) > 1:
        hint = "One inventory is one cluster: set k3s_cluster_name once, for all hosts."
        yield Finding("several_clusters", "different k3s_cluster_name: %s" % ", ".join(used), hint)
    for name in used:
        try:
            names.check_cluster_name(name)
        except names.HostError as exc:
            yield Finding("bad_cluster_name", exc.message, exc.hint)


def _parse_version(text: Any) -> tuple[int, int, int, int] | None:
    match = _EXACT.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    major, minor, patch, revision = match.groups()
    return int(major), int(minor), int(patch), int(revision)


def _versions(roles: Roles, variables: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Compare exact versions; what a channel means is known only when the cluster has been looked at."""
    server_text = variables.get(roles.servers[0], {}).get("k3s_version")
    server = _parse_version(server_text)
    for host in roles.agents:
        text = variables.get(host, {}).get("k3s_version")
        agent = _parse_version(text)
        if not server or not agent:
            continue
        if agent > server:
            hint = "Set k3s_version of the agent to %s or older." % server_text
            message = "k3s %s is newer than the server's %s" % (text, server_text)
            yield Finding("agent_newer", message, hint, (host,))
        elif agent[0] != server[0] or server[1] - agent[1] > MAX_SKEW:
            hint = "Kubernetes allows agents that are at most %d minor versions older." % MAX_SKEW
            yield Finding("version_skew", "k3s %s is too old for the server's %s" % (text, server_text), hint, (host,))


def _variables(host: str, known: Mapping[str, Any]) -> Iterator[Finding]:
    options = spec_variables.role_options()
    for name, value in known.items():
        problem, code = spec_variables.check_foreign(name, value, known), "foreign_variable"
        if not problem:
            problem, code = spec_variables.check_name(name), "unknown_variable"
        if not problem and name in options:
            problem, code = spec_variables.check_value(name, value, options[name]), "bad_value"
        if problem:
            yield Finding(code, problem[0], problem[1], (host,))
