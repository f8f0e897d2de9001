#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: hostname
short_description: Name this machine and let it know the other nodes by name
version_added: 0.1.0
description:
  - Sets the running and the permanent name, by C(hostnamectl) where it works and else by C(/etc/hostname).
  - Writes the cluster's hosts into a block of C(/etc/hosts). Debian's C(127.0.1.1) line loses the node's name where
    the block gives its own address.
  - Tells cloud-init to keep the name, where cloud-init is installed. Where cloud-init renders C(/etc/hosts) at each
    boot, its template gets the block, too.
author: The pideploy authors (@pideploy)
options:
  name:
    description: The machine's name, one lower-case label. Empty keeps the name that it has.
    type: str
    default: ""
  hosts:
    description: The entries of the block in C(/etc/hosts). Not given leaves the block alone; an empty list deletes it.
    type: list
    elements: dict
    suboptions:
      address:
        description: An IP address.
        type: str
        required: true
      names:
        description: The names of that address.
        type: list
        elements: str
        required: true
  root:
    description: Folder that stands for the node's file system. Below another than V(/), no program is run.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and predicts what would change.
    support: full
  diff_mode:
    description: Shows the files' differences.
    support: full
"""

EXAMPLES = r"""
- name: Name the node
  pideploy.k3s.hostname:
    name: red01
    hosts:
      - address: 10.0.0.10
        names: [red]
      - address: 10.0.0.11
        names: [red01]
"""

RETURN = r"""
name:
  description: The machine's name after the task.
  type: str
  returned: always
former_name:
  description: The running name before the task.
  type: str
  returned: always
files:
  description: The files that were changed, or would be.
  type: list
  elements: str
  returned: always
"""

import socket

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import edits, etc_hosts, hostname, manifest


def set_running_name(module, name):
    # type: (AnsibleModule, str) -> None
    """Rename the running system. hostnamectl needs D-Bus, which containers and rescue systems lack."""
    hostnamectl = module.get_bin_path("hostnamectl")
    if hostnamectl and module.run_command([hostnamectl, "set-hostname", name])[0] == 0:
        return
    socket.sethostname(name)


def main():
    # type: () -> None
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": ""},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "names": {"type": "list", "elements": "str", "required": True},
                },
            },
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root, name = module.params["root"], module.params["name"]
    former = hostname.current(root)
    try:
        plan = hostname.plan(root, name, module.params["hosts"])
        noted = manifest.load(root)
    except (hostname.HostnameError, etc_hosts.HostsError, manifest.ManifestError) as exc:
        module.fail_json(msg=str(exc))
    rename = bool(name) and root == "/" and former != name
    result = {
        "changed": bool(plan) or rename,
        "name": name or former,
        "former_name": former,
        "files": [edit.path for edit in plan],
        "diff": edits.diff(plan),
    }
    if rename:
        result["diff"].append({"before_header": "hostname", "after_header": "hostname",
                               "before": former + "\n", "after": name + "\n"})
    if module.check_mode or not result["changed"]:
        module.exit_json(**result)
    try:
        edits.apply(root, plan)
        if rename:
            set_running_name(module, name)
        edits.note(noted, root, "hostname", plan, former=noted.get("hostname", {}).get("former", former))
        manifest.save(root, noted)
    except OSError as exc:
        edits.put_back(root, plan)
        if rename and hostname.current(root) != former:
            set_running_name(module, former)
        module.fail_json(msg="cannot set the name %s: %s; nothing was changed" % (result["name"], exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
