#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_forget
short_description: Make a cluster forget nodes that were reset
version_added: 0.1.0
description:
  - Runs on a server that stays. Deletes the Node objects of hosts that M(pideploy.k3s.k3s_reset) took k3s off, and the
    passwords that k3s keeps for their names. Without this, k3s refuses such a host when it joins again.
  - A node that is Ready on another machine stays.
  - On a host that runs no k3s server there is nothing to forget.
author: The pideploy authors (@pideploy)
options:
  nodes:
    description: The hosts that were reset.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The node's name in the cluster.
        type: str
        required: true
      machine_id:
        description: The host's machine ID. Empty means that it is not known, and the name decides.
        type: str
        default: ""
  data_dir:
    description: k3s's data folder on the server.
    type: path
    default: /var/lib/rancher/k3s
  root:
    description: Folder that stands for the server's file system.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and lists what would be deleted.
    support: full
  diff_mode:
    description: Shows what is deleted.
    support: full
"""

EXAMPLES = r"""
- name: Forget an agent that was reset
  pideploy.k3s.k3s_forget:
    nodes:
      - name: red01
  delegate_to: red
"""

RETURN = r"""
nodes:
  description: The nodes that were deleted (in check mode, would be).
  type: list
  elements: str
  returned: success
  sample: [red01]
kept:
  description: Node names that stay, and why.
  type: dict
  returned: success
hint:
  description: What to do about a failure.
  type: str
  returned: failure
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config, k3s_forget
from ansible_collections.pideploy.k3s.plugins.module_utils.kubectl import Kubectl, KubectlError


def main() -> None:
    host = {"name": {"type": "str", "required": True}, "machine_id": {"type": "str", "default": ""}}
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "list", "elements": "dict", "required": True, "options": host},
            "data_dir": {"type": "path", "default": k3s_config.DATA_DIR},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root, gone = module.params["root"], [k3s_forget.Gone(**item) for item in module.params["nodes"]]
    if not os.path.exists(files.below(root, k3s_config.unit_path("server"))):
        module.exit_json(changed=False, nodes=[], kept={}, diff={"before": "", "after": ""})
    kubectl = Kubectl(files.below(root, k3s_config.BINARY), root, module.params["data_dir"])
    try:
        found = k3s_forget.look(kubectl, gone)
        if not module.check_mode:
            k3s_forget.forget(kubectl, found)
    except KubectlError as exc:
        names = ", ".join(host.name for host in gone)
        module.fail_json(
            msg="the cluster still has %s: %s" % (names, exc),
            hint="k3s refuses these names when they join again: reset them once more when this server answers")
    before = ["node %s" % name for name in found.nodes] + ["secret %s" % name for name in found.secrets]
    module.exit_json(
        changed=bool(before), nodes=found.nodes, kept=found.kept,
        diff={"before": "".join(line + "\n" for line in before), "after": "", "before_header": "known to the cluster",
              "after_header": "after the reset"},
        warnings=["the cluster keeps node %s: %s" % item for item in sorted(found.kept.items())])


if __name__ == "__main__":
    main()
