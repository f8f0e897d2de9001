# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A ``*.pideploy.yml`` file as an Ansible inventory. What the file means is in module_utils/spec.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hostlist
author: The pideploy authors (@pideploy)
short_description: A k3s cluster described by a hostlist
version_added: 0.1.0
description:
  - Reads a file whose name ends in C(.pideploy.yml) or C(.pideploy.yaml).
    The same file describes the cluster for the C(pideploy) command.
  - Makes the groups C(k3s_cluster), C(k3s_server) and C(k3s_agent), and one for each of O(host_groups).
  - "Sets how to connect as variables of C(k3s_cluster), so that no C(ansible.cfg) is needed: pipelining, a kept
    connection, C(become), and host keys that are accepted when first seen and kept in a file of the cluster's own.
    Each can be set otherwise in O(vars), O(host_vars) or C(group_vars)."
  - Only O(compose), O(groups) and O(keyed_groups) are Jinja. Braces in all other values stay what they are.
  - A name that neither the resolver nor the ssh configuration knows is tried as C(NAME.local),
    by which a fresh Raspberry Pi announces itself.
extends_documentation_fragment:
  - ansible.builtin.constructed
options:
  plugin:
    description: Marks the file as one for this plugin.
    required: true
    choices: [pideploy.k3s.hostlist, hostlist]
  cluster:
    description: The cluster's name. The first host's name, if not given.
    type: str
  hosts:
    description:
      - The hosts, as a hostlist or a list of hostlists, in order.
        Each entry is V([user@]host[:port]), a host is a name or an address.
      - "Commas, blanks and newlines separate. V(red[01-03]) counts with the width of the low bound, V(red[1,3-5])
        lists, V(red[1-9/2]) steps, V(rack[a-c]) counts letters, V(rack[1-2]node[01-02]) combines, V(red[1-9,!5]) and
        V(red[1-9],!red5) leave out, V(@FILE) reads a file."
      - The node's name in the cluster is the first part of the host's name.
        For an entry by address it is the machine's own hostname.
    type: raw
    required: true
  servers:
    description: Which of the hosts are servers, as a hostlist. The first host, if not given. All others are agents.
    type: raw
  user:
    description: The user to connect as. It needs C(sudo).
    type: str
  connect:
    description:
      - Where a host is reached today, V([user@]address[:port]), if its name does not resolve.
      - "Hosts and values may be hostlists of equal length: V({'red[01-02]': '10.0.0.[57-58]'})."
    type: dict
    default: {}
  addresses:
    description:
      - The static address with prefix length that a host shall have, as a mapping like O(connect).
      - V(10.0.0.10/24+) counts up from there in the order of O(hosts).
    type: raw
    default: {}
  host_groups:
    description: "Further groups, V({NAME: {hosts: HOSTLIST, vars: {}}}). Their variables win over O(vars)."
    type: dict
    default: {}
  host_vars:
    description: "Variables of single hosts, V({HOSTLIST: {}}). They win over those of groups."
    type: dict
    default: {}
  vars:
    description:
      - Variables of all hosts. Those of the roles are checked for name, type and choices.
      - Values may be encrypted with C(ansible-vault encrypt_string).
    type: dict
    default: {}
"""

EXAMPLES = r"""
# red.pideploy.yml: one server and two agents
plugin: pideploy.k3s.hostlist
hosts: "red,red[01-02]"

---
# lab.pideploy.yml: everything
plugin: pideploy.k3s.hostlist
cluster: lab
hosts: "red,red[01-02],jet[1-3]"
servers: red
user: pi
connect:
  red: 10.0.0.57
  "red[01-02]": "10.0.0.[58-59]"
addresses: 10.0.0.10/24+
host_groups:
  gpu:
    hosts: "jet[1-3]"
    vars:
      k3s_version: v1.34.9+k3s1
host_vars:
  jet1:
    k3s_node_labels: [gpu=nano]
vars:
  k3s_version: v1.36.4+k3s1
  swap_state: disabled
keyed_groups:
  - key: k3s_version
    prefix: version

# See it:     ansible-inventory -i lab.pideploy.yml --graph
# Deploy it:  ansible-playbook -i lab.pideploy.yml pideploy.k3s.site
"""

import os
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.helpers import get_group_vars
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.utils.vars import combine_vars
from ansible_collections.pideploy.k3s.plugins.module_utils import paths, spec
from ansible_collections.pideploy.k3s.plugins.plugin_utils import local_names


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Turns a spec into hosts, groups and variables."""

    NAME = "pideploy.k3s.hostlist"

    def verify_file(self, path: str) -> bool:
        """Accept readable files called ``*.pideploy.yml`` or ``*.pideploy.yaml``."""
        return path.endswith((".pideploy.yml", ".pideploy.yaml")) and bool(super().verify_file(path))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Fill the inventory.

        :raises AnsibleParserError: with line, column and hint.
        """
        super().parse(inventory, loader, path, cache)
        try:
            # The loader opens a file that is encrypted as a whole.
            text = str(loader.get_text_file_contents(path))
            cluster = spec.parse(text, path, folder=os.path.dirname(path))
        except spec.SpecError as exc:
            raise AnsibleParserError(" ".join(filter(None, (str(exc) + ".", exc.hint)))) from None
        self._read_config_data(path)
        for warning in cluster.warnings:
            self.display.warning("%s: %s" % (path, warning))
        self._make_state_folder(cluster.cluster)
        self._add_groups(cluster)
        self._add_hosts(cluster)
        self._construct(cluster)

    def _make_state_folder(self, name: str) -> None:
        """ssh keeps the cluster's host keys there, and does not make folders."""
        try:
            paths.make_private(paths.state_dir(name))
        except OSError as exc:
            self.display.warning("host keys will not be kept: cannot make %s: %s" % (exc.filename, exc.strerror))

    def _add_groups(self, cluster: spec.Spec) -> None:
        # The user's groups are below k3s_cluster, because variables of a group deeper down win.
        for group in ("k3s_cluster", "k3s_server", "k3s_agent", *cluster.host_groups):
            self.inventory.add_group(group)
            if group != "k3s_cluster":
                self.inventory.add_child("k3s_cluster", group)
        self._set("k3s_cluster", cluster.group_variables())
        for name, group in cluster.host_groups.items():
            self._set(name, group["vars"])

    def _add_hosts(self, cluster: spec.Spec) -> None:
        variables = {host.name: cluster.host_variables(host) for host in cluster.hosts}
        local = self._local_names(cluster, variables)
        for group, names in (("k3s_server", cluster.servers), ("k3s_agent", cluster.agents)):
            for name in names:
                self.inventory.add_host(name, group=group)
                if name in local:
                    self.inventory.set_variable(name, "ansible_host", local[name])
                self._set(name, variables[name])
        for group, members in cluster.host_groups.items():
            for name in members["hosts"]:
                self.inventory.add_child(group, name)

    def _local_names(self, cluster: spec.Spec, variables: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Return the names to reach hosts by that only mDNS knows; nothing is asked where connecting is set already."""
        if "ansible_host" in cluster.vars or cluster.vars.get("ansible_connection", "ssh") != "ssh":
            return {}
        local, late = local_names.find(name for name, own in variables.items() if "ansible_host" not in own)
        if late:
            text = "the resolver is slow: %d names were not tried with .local (say how to reach them in 'connect')"
            self.display.warning(text % len(late))
        return local

    def _construct(self, cluster: spec.Spec) -> None:
        strict = self.get_option("strict")
        for host in cluster.hosts:
            found = self.inventory.hosts[host.name]
            known = combine_vars(get_group_vars(found.get_groups()), found.get_vars())
            self._set_composite_vars(self.get_option("compose"), known, host.name, strict=strict)
            known = combine_vars(known, found.get_vars())
            self._add_host_to_composed_groups(self.get_option("groups"), known, host.name, strict, False)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, host.name, strict, False)

    def _set(self, entity: str, variables: dict[str, Any]) -> None:
        for name, value in variables.items():
            self.inventory.set_variable(entity, name, _decryptable(value))


def _decryptable(value: Any) -> Any:
    """Turn ciphertext, at any depth, into what Ansible decrypts when it is used."""
    if isinstance(value, spec.Vault):
        return EncryptedString(ciphertext=str(value))
    if isinstance(value, dict):
        return {key: _decryptable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decryptable(item) for item in value]
    return value
