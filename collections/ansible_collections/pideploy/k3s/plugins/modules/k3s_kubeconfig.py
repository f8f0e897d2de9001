#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The node's half: reads the file. plugins/action/k3s_kubeconfig.py rewrites it and puts it on the controller.

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_kubeconfig
short_description: Fetch a server's administrator's kubeconfig to the controller
version_added: 0.1.0
description:
  - Puts the kubeconfig of a k3s server into a file of the controller, mode 0600. Cluster, user and context are named
    after the cluster, and the server is its address in the network.
  - The content is in no result, log or diff.
author: The pideploy authors (@pideploy)
options:
  cluster:
    description: The cluster's name.
    type: str
    required: true
  dest:
    description: Where to put the file on the controller. Empty means the cluster's state folder.
    type: str
    default: ""
  server:
    description:
      - Address, name or URL by which the controller reaches the API server. Empty means the server's C(node-ip).
    type: str
    default: ""
  address:
    description: The address to use where O(server) is empty and the server's configuration names no C(node-ip).
    type: str
    default: ""
  root:
    description: Folder that stands for the node's file system.
    type: path
    default: /
attributes:
  check_mode:
    description: Reads, compares, and writes nothing.
    support: full
  diff_mode:
    description: The content is secret and never shown.
    support: none
  action:
    description: The controller's half is an action plugin.
    support: full
"""

EXAMPLES = r"""
- name: Fetch the kubeconfig
  pideploy.k3s.k3s_kubeconfig:
    cluster: red
  delegate_to: "{{ groups['k3s_server'] | first }}"
  run_once: true
"""

RETURN = r"""
path:
  description: The file on the controller.
  type: str
  returned: success
server:
  description: The URL of the API server in it.
  type: str
  returned: success
  sample: https://10.0.0.10:6443
context:
  description: The name of its context, cluster and user.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config, kubectl


def main():
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "dest": {"type": "str", "default": ""},
            "server": {"type": "str", "default": ""},
            "address": {"type": "str", "default": ""},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root = module.params["root"]
    config = k3s_config.parse(files.read_text(root, k3s_config.CONFIG) or "")
    path = str(config.get("write-kubeconfig") or kubectl.KUBECONFIG)
    # The action takes the content out before anybody sees the result.
    module.exit_json(changed=False, path=path, content=files.read_text(root, path),
                     node_ip=k3s_config.first_address(config), port=int(config.get("https-listen-port") or 6443))


if __name__ == "__main__":
    main()
