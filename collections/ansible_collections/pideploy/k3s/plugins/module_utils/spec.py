# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""The spec, ``*.pideploy.yml``: the only reader of it, for the inventory plugin and the wrapper alike.

:func:`load` and :func:`parse` read text, :func:`from_flags` takes what the command line gave, :func:`dump` writes one.
All raise :class:`SpecError` with line, column and a hint. The keys are documented in the inventory plugin
(``ansible-doc -t inventory pideploy.k3s.hostlist``).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from typing import Any, Mapping, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import hosts as names
from ansible_collections.pideploy.k3s.plugins.module_utils import paths, spec_yaml
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import fold
from ansible_collections.pideploy.k3s.plugins.module_utils.hosts import Host
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_reader import PLUGINS, Reader
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_yaml import SpecError, Vault

__all__ = ["Host", "Spec", "SpecError", "Vault", "dump", "from_flags", "load", "parse"]

SSH_ARGS = "-o ControlMaster=auto -o ControlPersist=10m -o ServerAliveInterval=15 -o ServerAliveCountMax=4"


@dataclasses.dataclass(frozen=True)
class Spec:
    """A cluster as described, checked and with its hostlists expanded.

    ``connect``: host name to how it is reached today; ``addresses``: host name to the address with prefix length that
    it shall have; ``host_groups``: group name to ``{"hosts": [names], "vars": {}}``; ``raw``: the file's data as
    written; ``warnings``: one line each, for the user.
    """

    cluster: str
    hosts: list[Host]
    servers: list[str]
    user: str = ""
    connect: dict[str, Host] = dataclasses.field(default_factory=dict)
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    host_groups: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    host_vars: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    vars: dict[str, Any] = dataclasses.field(default_factory=dict)
    raw: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    source: str = ""
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def agents(self) -> list[str]:
        """The names of the hosts that are no servers, in the order of the hostlist."""
        return [host.name for host in self.hosts if host.name not in self.servers]

    def host(self, name: str) -> Host:
        """Return a host by its name; KeyError for another name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def host_variables(self, host: Host | str) -> dict[str, Any]:
        """Return the inventory variables of one host, what the user wrote last."""
        if isinstance(host, str):
            host = self.host(host)
        variables: dict[str, Any] = {"ansible_ssh_extra_args": "-o %s" % shlex.quote("HostKeyAlias=" + host.name)}
        if host.node_name:
            variables["k3s_node_name"] = host.node_name
        for source in (host, self.connect.get(host.name)):
            if source:
                given = {"ansible_host": source.address, "ansible_user": source.user, "ansible_port": source.port}
                variables.update((key, value) for key, value in given.items() if value)
        if host.name in self.addresses:
            variables["static_ip_address"] = self.addresses[host.name]
        variables.update(self.host_vars.get(host.name, {}))
        return variables

    def group_variables(self) -> dict[str, Any]:
        """Return the variables of the group ``k3s_cluster``: how to connect, the cluster's name, and the user's own."""
        known_hosts = os.path.join(paths.state_dir(self.cluster), "known_hosts")
        # ssh takes quotes off once more and expands '%'.
        file = 'UserKnownHostsFile="%s"' % known_hosts.replace("%", "%%")
        variables: dict[str, Any] = {
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_pipelining": True,
            "ansible_become": True,
            "ansible_host_key_checking": True,
            "ansible_ssh_args": SSH_ARGS,
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=accept-new -o %s" % shlex.quote(file),
            "k3s_cluster_name": self.cluster,
        }
        if self.user:
            variables["ansible_user"] = self.user
        variables.update(self.vars)
        return variables


def load(path: str) -> Spec:
    """Read a spec file; ``@file`` in its hostlists is relative to its folder.

    :raises SpecError: it cannot be read or used.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read(spec_yaml.MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise SpecError("cannot read the file: %s" % exc.strerror, source=path) from None
    except UnicodeDecodeError:
        raise SpecError("the file is no UTF-8 text", source=path) from None
    if text.startswith("$ANSIBLE_VAULT;"):
        hint = "Only ansible-playbook can open it. Encrypt single values instead: ansible-vault encrypt_string."
        raise SpecError("the whole file is encrypted", source=path, hint=hint)
    return parse(text, path, folder=os.path.dirname(path))


def parse(text: str, source: str = "", *, files: bool = True, folder: str = "") -> Spec:
    """Read a spec from text.

    :param source: the name that errors give.
    :param files: whether hostlists may name files (never for text that came over the network).
    :raises SpecError: it cannot be used.
    """
    return _build(spec_yaml.read(text, source), files, folder)


def from_flags(
    hosts: str | Sequence[str],
    servers: str | Sequence[str] = "",
    user: str = "",
    cluster: str = "",
    connect: Mapping[str, str] | None = None,
    addresses: str | Mapping[str, str] | None = None,
    vars: Mapping[str, Any] | None = None,
    *,
    host_vars: Mapping[str, Mapping[str, Any]] | None = None,
    host_groups: Mapping[str, Mapping[str, Any]] | None = None,
    files: bool = True,
) -> Spec:
    """Make a spec of what was given by flags, which have the names of the file's keys.

    :raises SpecError: a value cannot be used; HostlistError: the hostlist cannot be read.
    """
    data: dict[str, Any] = {"plugin": PLUGINS[0], "cluster": cluster, "hosts": hosts, "servers": servers, "user": user}
    data.update(
        {
            "connect": dict(connect or {}),
            "addresses": addresses if isinstance(addresses, str) else dict(addresses or {}),
            "host_groups": {name: dict(group) for name, group in (host_groups or {}).items()},
            "host_vars": {name: dict(variables) for name, variables in (host_vars or {}).items()},
            "vars": dict(vars or {}),
        }
    )
    data = {key: value if isinstance(value, (str, dict)) else list(value) for key, value in data.items() if value}
    spec = _build(spec_yaml.Document(data), files, "")
    # The spec is saved elsewhere: what came from a file is written out.
    for key, expanded in (("hosts", [host.entry for host in spec.hosts]), ("servers", spec.servers)):
        if key in data and re.search(
            r"(^|[\s,!])@", ",".join([data[key]] if isinstance(data[key], str) else data[key])
        ):
            data[key] = fold(expanded)
    return dataclasses.replace(spec, raw={"plugin": PLUGINS[0], "cluster": spec.cluster, **data})


def dump(spec: Spec) -> str:
    """Return the spec as text that :func:`parse` reads back equally."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(Vault, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))
    raw = {key: value for key, value in spec.raw.items() if value not in ("", [], {})}
    return yaml.dump(raw, Dumper=Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=100)


def _build(document: spec_yaml.Document, files: bool, folder: str) -> Spec:
    reader = Reader(document, files, folder)
    reader.check_keys()
    hosts = reader.hosts()
    known = {host.name: host for host in hosts}
    servers = reader.servers(known)
    cluster = reader.text("cluster") or hosts[0].name.replace(":", "-").replace("%", "-")
    try:
        names.check_cluster_name(cluster)
    except names.HostError as exc:
        raise document.error(("cluster",), exc.message, exc.hint) from None
    reader.user()
    return Spec(
        cluster=cluster,
        hosts=hosts,
        servers=servers or [hosts[0].name],
        user=reader.text("user"),
        connect=reader.connect(known),
        addresses=reader.addresses(known),
        host_groups=reader.host_groups(known),
        host_vars=reader.host_vars(known),
        vars=reader.variables(("vars",)),
        raw=dict(document.data),
        source=document.source,
        warnings=reader.warnings + ([] if servers else _first_server_warning(hosts)),
    )


def _first_server_warning(hosts: Sequence[Host]) -> list[str]:
    """Warn where cloudmesh's rule (the name without digits is the manager) would have chosen another first server."""
    without = [host.name for host in hosts if host.node_name and not re.search(r"[0-9]", host.name)]
    if len(without) != 1 or without[0] == hosts[0].name:
        return []
    return [
        "the server is '%s', the first host; '%s' is the only name without a number: say servers: %s if you meant that"
        % (hosts[0].name, without[0], without[0])
    ]
