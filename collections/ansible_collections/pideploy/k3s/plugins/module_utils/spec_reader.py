# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""The keys of a spec, one method each: the data as written to checked values; see ``spec.py``."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Mapping

from ansible_collections.pideploy.k3s.plugins.module_utils import hosts as names
from ansible_collections.pideploy.k3s.plugins.module_utils import spec_variables
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import HostlistError, expand
from ansible_collections.pideploy.k3s.plugins.module_utils.hosts import Host, HostError
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_yaml import Document, nearest

PLUGINS = ("pideploy.k3s.hostlist", "hostlist")
OWN_KEYS = {
    "plugin": str,
    "cluster": str,
    "hosts": (str, list),
    "servers": (str, list),
    "user": str,
    "connect": dict,
    "addresses": (str, dict),
    "host_groups": dict,
    "host_vars": dict,
    "vars": dict,
}
# Ansible's own, from the documentation fragment "constructed".
CONSTRUCTED_KEYS = {
    "groups": dict,
    "compose": dict,
    "keyed_groups": list,
    "strict": bool,
    "leading_separator": bool,
    "use_extra_vars": bool,
}
KEYS: dict[str, Any] = {**OWN_KEYS, **CONSTRUCTED_KEYS}
GROUPS = ("all", "ungrouped", "k3s_cluster", "k3s_server", "k3s_agent", "server", "agent")

_KINDS = {str: "a text", list: "a list", dict: "a mapping", bool: "true or false"}
# Words of other tools for the keys of ours.
_OTHER_WORDS = {
    "masters": "servers",
    "master": "servers",
    "managers": "servers",
    "manager": "servers",
    "server": "servers",
    "host": "hosts",
    "nodes": "hosts",
    "hostlist": "hosts",
    "name": "cluster",
    "ansible_user": "user",
    "username": "user",
    "variables": "vars",
    "static_ips": "addresses",
    "ips": "addresses",
}


class Reader:
    """Checks a document key by key; ``warnings`` collects what is odd but allowed."""

    def __init__(self, document: Document, files: bool, folder: str) -> None:
        self.document = document
        self.files = files
        self.folder = folder
        self.warnings: list[str] = []

    def check_keys(self) -> None:
        """Refuse what is no mapping, unknown keys, values of a wrong kind, and another plugin's file."""
        data = self.document.data
        if not isinstance(data, dict):
            hint = "It starts with 'plugin: %s' and 'hosts: red,red[01-02]'." % PLUGINS[0]
            raise self.document.error((), "the file is no mapping of keys" if data else "the file is empty", hint)
        for key, value in data.items():
            if key not in KEYS:
                hint = "Did you mean '%s'?" % _OTHER_WORDS[key] if key in _OTHER_WORDS else nearest(key, KEYS)
                if not hint and (key in spec_variables.role_options() or key in spec_variables.K3S_ANSIBLE):
                    hint = "Variables are written below 'vars'."
                raise self.document.error(
                    (key,), "there is no key '%s'" % key, hint or "Keys: %s." % ", ".join(KEYS), key=True
                )
            self._kind((key,), value, KEYS[key])
        if "plugin" not in data:
            raise self.document.error((), "the key 'plugin' is missing", "Add the line 'plugin: %s'." % PLUGINS[0])
        if data["plugin"] not in PLUGINS:
            raise self.document.error(("plugin",), "'%s' is another plugin" % data["plugin"], "plugin: %s" % PLUGINS[0])

    def _kind(self, path: tuple[str | int, ...], value: Any, wanted: Any) -> None:
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
            return
        shown = "nothing" if value is None else "%s" % (value,)
        hint = ""
        if str in kinds and value is not None and not isinstance(value, (list, dict)):
            hint = "Put it in quotes, or YAML makes %s of it." % (
                "a boolean" if isinstance(value, bool) else "a number or a date"
            )
        text = " or ".join(_KINDS[kind] for kind in kinds)
        name = "'%s'" % path[-1] if isinstance(path[-1], str) else "each item of '%s'" % path[-2]
        raise self.document.error(path, "%s must be %s, not %s" % (name, text, shown[:60]), hint)

    def text(self, key: str) -> str:
        """Return a text value, empty when it is absent."""
        return str(self.document.data.get(key, ""))

    def user(self) -> None:
        """Refuse a user that ssh would read as an option or as something else."""
        user = self.text("user")
        if "user" in self.document.data and not names.is_user(user):
            raise self.document.error(("user",), "'%s' is no user name" % user)

    def entries(self, path: tuple[str | int, ...], value: Any) -> list[tuple[str, tuple[str | int, ...]]]:
        """Expand a hostlist, or a list of them; each entry goes with the place it came from."""
        found: dict[str, tuple[str | int, ...]] = {}
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            place = path if index is None else (*path, index)
            self._kind(place, item, str)
            try:
                for entry in expand(item, files=self.files, folder=self.folder):
                    found.setdefault(entry, place)
            except HostlistError as exc:
                if not self.document.values:
                    raise
                offset = exc.column - 1 if exc.line == 1 and not exc.source else 0
                message = exc.message if offset and place in self.document.plain else str(exc)
                raise self.document.error(place, message, exc.hint, offset=offset) from None
        return list(found.items())

    def hosts(self) -> list[Host]:
        """Return the hosts in the order written; each name once, each node name once."""
        hosts: dict[str, Host] = {}
        nodes: dict[str, str] = {}
        for entry, place in self.entries(("hosts",), self.document.data.get("hosts", "")):
            try:
                host = names.parse_host(entry)
            except HostError as exc:
                raise self.document.error(place, exc.message, exc.hint) from None
            other = hosts.get(host.name)
            if other:
                message = "'%s' and '%s' are the same host" % (other.entry, entry)
                raise self.document.error(place, message, "Keep one of them.")
            if host.node_name and host.node_name in nodes:
                message = "'%s' and '%s' would both be the node '%s'" % (nodes[host.node_name], entry, host.node_name)
                raise self.document.error(place, message, "The first part of a name is the node's name: rename one.")
            nodes[host.node_name] = entry
            hosts[host.name] = host
        if not hosts:
            hint = 'Write hosts: "red,red[01-02]".'
            message = "'hosts' names no host" if "hosts" in self.document.data else "the key 'hosts' is missing"
            raise self.document.error(("hosts",), message, hint)
        return list(hosts.values())

    def members(
        self, path: tuple[str | int, ...], value: Any, known: Mapping[str, Host], key: bool = False
    ) -> list[str]:
        """Expand a hostlist of hosts of this cluster and return their names."""
        by_entry = {host.entry: host.name for host in known.values()}
        found: list[str] = []
        for entry, place in self.entries(path, value):
            name = by_entry.get(entry, entry)
            if name not in known:
                hint = nearest(name, known) or "Add it to 'hosts' first."
                raise self.document.error(place, "'%s' is none of the hosts" % entry, hint, key=key)
            found.append(name)
        return found

    def servers(self, known: Mapping[str, Host]) -> list[str]:
        """Return the names of the servers as written, or nothing."""
        if "servers" not in self.document.data:
            return []
        found = self.members(("servers",), self.document.data["servers"], known)
        if not found:
            raise self.document.error(("servers",), "'servers' names no host", "Leave it out for the first host.")
        return found

    def _paired(self, key: str, known: Mapping[str, Host]) -> dict[str, tuple[str, tuple[str | int, ...]]]:
        """Read ``{red: ADDRESS, "red[01-02]": "10.0.0.[11-12]"}``: hosts and values of equal number, pair by pair."""
        pairs: dict[str, tuple[str, tuple[str | int, ...]]] = {}
        for text, value in self.document.data.get(key, {}).items():
            path = (key, text)
            self._kind(path, value, str)
            hosts = self.members(path, text, known, key=True)
            values = [entry for entry, _place in self.entries(path, value)]
            if len(hosts) != len(values):
                message = "%d hosts and %d values" % (len(hosts), len(values))
                raise self.document.error(path, message, "Each host needs one of its own.")
            for host, item in zip(hosts, values, strict=True):
                if host in pairs:
                    raise self.document.error(path, "'%s' is given twice" % host, "", key=True)
                pairs[host] = (item, path)
        return pairs

    def connect(self, known: Mapping[str, Host]) -> dict[str, Host]:
        """Return how hosts are reached: ``[user@]address[:port]``."""
        found: dict[str, Host] = {}
        for name, (value, path) in self._paired("connect", known).items():
            try:
                target = names.parse_host(value)
            except HostError as exc:
                raise self.document.error(path, exc.message, exc.hint) from None
            found[name] = Host(name, value, target.name, target.user, target.port)
        return found

    def addresses(self, known: Mapping[str, Host]) -> dict[str, str]:
        """Return the address with prefix length of each host that shall have one."""
        value = self.document.data.get("addresses", {})
        path: tuple[str | int, ...] = ("addresses",)
        if isinstance(value, dict):
            given = self._paired("addresses", known)
        else:
            texts = (
                self._count_up(value, path, len(known))
                if value.endswith("+")
                else [entry for entry, _place in self.entries(path, value)]
            )
            if len(texts) != len(known):
                message = "%d hosts and %d addresses" % (len(known), len(texts))
                raise self.document.error(path, message, "Write 10.0.0.10/24+ to count up, or a mapping host: address.")
            given = {name: (text, path) for name, text in zip(known, texts, strict=True)}
        found: dict[str, str] = {}
        owners: dict[object, str] = {}
        for name, (text, place) in given.items():
            interface = self._interface(text, place)
            network = interface.network
            if network.num_addresses > 2 and interface.ip in (network.network_address, network.broadcast_address):
                message = "%s for '%s' is the address of the network itself, or its broadcast" % (text, name)
                raise self.document.error(place, message, "Take one in between.")
            if interface.ip in owners:
                message = "%s is given to '%s' and to '%s'" % (interface.ip, owners[interface.ip], name)
                raise self.document.error(place, message, "Each host needs one of its own.")
            owners[interface.ip] = name
            found[name] = str(interface)
        return found

    def _count_up(self, text: str, path: tuple[str | int, ...], number: int) -> list[str]:
        first = self._interface(text[:-1], path)
        if int(first.ip) + number - 1 >= int(first.network.broadcast_address):
            message = "%s has no %d addresses from %s on" % (first.network, number, first.ip)
            raise self.document.error(path, message, "Start lower, or write a shorter prefix length.")
        return ["%s/%d" % (first.ip + step, first.network.prefixlen) for step in range(number)]

    def _interface(self, text: str, path: tuple[str | int, ...]) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        try:
            if "/" not in text:
                raise ValueError
            return ipaddress.ip_interface(text)
        except ValueError:
            hint = "Write the length of the network as well: 10.0.0.10/24."
            raise self.document.error(path, "'%s' is no address with a prefix length" % text, hint) from None

    def host_groups(self, known: Mapping[str, Host]) -> dict[str, dict[str, Any]]:
        """Return the user's groups: ``{name: {"hosts": [names], "vars": {}}}``."""
        found: dict[str, dict[str, Any]] = {}
        for name, group in self.document.data.get("host_groups", {}).items():
            path = ("host_groups", name)
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                hint = "Letters, digits and '_', no digit first."
                raise self.document.error(path, "'%s' is no name of a group" % name, hint, key=True)
            if name in GROUPS or name in known:
                raise self.document.error(
                    path, "'%s' is taken already" % name, "Give the group another name.", key=True
                )
            self._kind(path, group, dict)
            for key in group:
                if key not in ("hosts", "vars"):
                    hint = nearest(key, ("hosts", "vars")) or "Write it below 'vars', if it is a variable."
                    raise self.document.error((*path, key), "a group has no key '%s'" % key, hint, key=True)
            if "hosts" not in group:
                raise self.document.error(path, "the group '%s' has no 'hosts'" % name, 'hosts: "red[01-02]"', key=True)
            self._kind((*path, "hosts"), group["hosts"], (str, list))
            members = self.members((*path, "hosts"), group["hosts"], known)
            found[name] = {"hosts": members, "vars": self.variables((*path, "vars"))}
        return found

    def host_vars(self, known: Mapping[str, Host]) -> dict[str, dict[str, Any]]:
        """Return the variables of single hosts; a key may be a hostlist."""
        found: dict[str, dict[str, Any]] = {}
        for text in self.document.data.get("host_vars", {}):
            path = ("host_vars", text)
            variables = self.variables(path)
            for name in self.members(path, text, known, key=True):
                found.setdefault(name, {}).update(variables)
        return found

    def variables(self, path: tuple[str | int, ...]) -> dict[str, Any]:
        """Return the variables at a path, checked against the roles' argument_specs."""
        data: Any = self.document.data
        for step in path:
            data = data.get(step, {})
        self._kind(path, data, dict)
        options = spec_variables.role_options()
        for name, value in data.items():
            place = (*path, name)
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise self.document.error(place, "'%s' is no name of a variable" % name, "Use '_'.", key=True)
            problem = spec_variables.check_foreign(name, value) or spec_variables.check_name(name)
            if problem:
                raise self.document.error(place, *problem, key=True)
            if name in options:
                problem = spec_variables.check_value(name, value, options[name])
                if problem:
                    raise self.document.error(place, *problem)
            elif not name.startswith("ansible_") and nearest(name, options):
                self.warnings.append("no role reads the variable '%s'. %s" % (name, nearest(name, options)))
            if isinstance(value, str) and re.search(r"\{[{%#]", value):
                self.warnings.append("'%s' holds Jinja, which is not evaluated here: use 'compose' for it" % name)
        return dict(data)
