#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type
DOCUMENTATION = r"""
module: node_facts
short_description: Look at a node, and change nothing
version_added: 0.1.0
description:
  - Reads in one task what pideploy needs to know of a node. Board, OS, architecture, kernel, cgroups, live boot file,
    swap and its owner, disks, clock, interfaces, ports, ids, and the k3s that is there already with its cluster.
  - Compares it with what is wanted; RV(ansible_facts.pideploy_node.pending) names the roles that have something to do.
  - The clock is measured from the controller around the call, by the action plugin of the same name.
author: The pideploy authors (@pideploy)
options:
  hostname:
    description: The name that the machine shall have. Empty means that its name stays.
    type: str
    default: ""
  swap_state:
    description: V(disabled) if swap shall be off.
    type: str
    choices: [disabled, kept]
    default: disabled
  cgroups_required:
    description: Cgroup controllers that the kernel shall offer.
    type: list
    elements: str
    default: [cpu, cpuset, memory, pids]
  cgroups_kernel_args:
    description: Arguments of the kernel that turn missing controllers on.
    type: list
    elements: str
    default: [cgroup_enable=cpuset, cgroup_memory=1, cgroup_enable=memory]
  root:
    description: Folder that stands for the node's file system. Below another than V(/), no program is run.
    type: path
    default: /
attributes:
  check_mode:
    description: Changes nothing, in check mode or not.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  facts:
    description: Returns facts.
    support: full
"""

EXAMPLES = r"""
- name: Look at the node
  pideploy.k3s.node_facts:

- name: Show the board
  ansible.builtin.debug:
    var: ansible_facts['pideploy_node'].board.model
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  type: dict
  returned: always
  contains:
    pideploy_node:
      description: All facts of the node, schema 1.
      type: dict
      returned: always
      contains:
        schema:
          description: Version of this structure.
          type: int
          returned: always
        hostname:
          description: The running name.
          type: str
          returned: always
        machine_id:
          description: Id of the installed system.
          type: str
          returned: always
        boot_id:
          description: Id of this boot.
          type: str
          returned: always
        is_controller:
          description: Whether Ansible itself runs on this machine.
          type: bool
          returned: always
        clock:
          description:
            - C(epoch) in seconds, C(offset_s) to the controller's clock (positive means ahead), known to C(error_s).
            - C(ntp_synchronized) as timedatectl says it.
          type: dict
          returned: always
        board:
          description: C(model), and C(family), one of pi, jetson, x86, other.
          type: dict
          returned: always
        os:
          description: C(id), C(version_id), C(codename), C(pretty_name), and C(pi_os) for Raspberry Pi OS.
          type: dict
          returned: always
        arch:
          description: C(machine), C(userspace_bits), C(dpkg), and C(k3s), one of amd64, arm64, armhf, or none.
          type: dict
          returned: always
        kernel:
          description: C(release), C(cmdline) of this boot, C(page_size) in bytes.
          type: dict
          returned: always
        memory_mb:
          description: Memory that Linux can use, in MiB.
          type: int
          returned: always
        cgroup:
          description: C(version), one of v1, v2, hybrid; the C(controllers) there are, and the C(missing) ones.
          type: dict
          returned: always
        boot:
          description: C(layout) and C(file) of the live boot file, C(also) for a pending one, C(writable), C(error).
          type: dict
          returned: always
        swap:
          description: C(active) areas, C(owner), and whether swap is C(enabled), that is, comes back at boot.
          type: dict
          returned: always
        disks:
          description: C(path), C(free_mb), C(total_mb), C(read_only) of the file systems that k3s needs.
          type: list
          elements: dict
          returned: always
        interfaces:
          description: C(name), C(mac), C(addresses), C(wireless), C(virtual).
          type: list
          elements: dict
          returned: always
        default:
          description: C(interface), C(address), C(gateway) of the default route.
          type: dict
          returned: always
        ports_busy:
          description: Ports of k3s that something else listens on.
          type: list
          elements: dict
          returned: always
        etc_hosts_block:
          description: Entries (C(address), C(names)) of the cluster's block in C(/etc/hosts).
          type: list
          elements: dict
          returned: always
        k3s:
          description: The k3s that is there, what it runs as, and whose it is.
          type: dict
          returned: always
        pending:
          description: Roles that have something to do, of V(hostname), V(cgroups), V(swap).
          type: list
          elements: str
          returned: always
        reboot_required:
          description: Whether what was done already needs a reboot to become true.
          type: bool
          returned: always
        changes:
          description: What pideploy changed on this node (C(what)), and how to undo it (C(undo)).
          type: list
          elements: dict
          returned: always
        findings:
          description: What is wrong with this node, with C(level), C(code), C(message), C(hint).
          type: list
          elements: dict
          returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import manifest, node_probe


def main():
    # type: () -> None
    module = AnsibleModule(
        argument_spec={
            "hostname": {"type": "str", "default": ""},
            "swap_state": {"type": "str", "choices": ["disabled", "kept"], "default": "disabled"},
            "cgroups_required": {"type": "list", "elements": "str", "default": ["cpu", "cpuset", "memory", "pids"]},
            "cgroups_kernel_args": {
                "type": "list",
                "elements": "str",
                "default": ["cgroup_enable=cpuset", "cgroup_memory=1", "cgroup_enable=memory"],
            },
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )

    def run(command):
        # type: (list[str]) -> tuple[int, str, str]
        program = module.get_bin_path(command[0], opt_dirs=["/usr/sbin", "/sbin"])
        return module.run_command([program, *command[1:]]) if program else (127, "", "")

    root = module.params["root"]
    try:
        facts = node_probe.probe(root, node_probe.wanted_from(module.params), run if root == "/" else None)
    except manifest.ManifestError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, ansible_facts={"pideploy_node": facts})


if __name__ == "__main__":
    main()
