#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_join_info
short_description: Read what an agent needs to join this server
version_added: 0.1.0
description:
  - Returns the server's address and the agents' token in its secure form, which lets an agent check the server's CA
    before it sends anything.
  - The result holds a secret. Use C(no_log) on the task.
  - A server that cannot be joined is no failure of this module, because C(no_log) would hide it. Look at RV(available),
    and show RV(reason) in a task of its own.
author: The pideploy authors (@pideploy)
options:
  node_ip:
    description: The server's address for a plan, while its configuration does not exist.
    type: str
    default: ""
  data_dir:
    description: k3s's data folder.
    type: path
    default: /var/lib/rancher/k3s
  timeout:
    description: Seconds to wait until the server takes agents. Where it does not in time, the agents wait themselves.
    type: int
    default: 60
  root:
    description: Folder that stands for the node's file system. Below another than V(/), systemd is not asked.
    type: path
    default: /
attributes:
  check_mode:
    description: Changes nothing, in check mode or not.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Read the join secret
  pideploy.k3s.k3s_join_info:
  delegate_to: "{{ groups['k3s_server'] | first }}"
  run_once: true
  no_log: true
  register: join

- name: See that the server can be joined
  ansible.builtin.assert:
    that: join.available
    fail_msg: "{{ join.reason }} ({{ join.hint }})"
"""

RETURN = r"""
available:
  description: Whether the server can be joined now.
  type: bool
  returned: success
reason:
  description: Why it cannot be joined. Empty where it can.
  type: str
  returned: success
hint:
  description: What to do about it.
  type: str
  returned: success
server_url:
  description: Where agents reach the server.
  type: str
  returned: success
  sample: https://10.0.0.10:6443
agent_token:
  description: The token for agents, C(K10<ca hash>::node:<password>). Empty where the server is not available.
  type: str
  returned: success
ca_hash:
  description: SHA-256 of the server's CA, as k3s computes it.
  type: str
  returned: success
version:
  description: The server's k3s version from the node's manifest.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config, k3s_join, manifest, service, tokens


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "node_ip": {"type": "str", "default": ""},
            "data_dir": {"type": "path", "default": k3s_config.DATA_DIR},
            "timeout": {"type": "int", "default": 60},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root, node_ip = module.params["root"], module.params["node_ip"]
    systemd = service.Systemd(module.run_command, root)
    try:
        result = k3s_join.read(root, module.params["data_dir"], node_ip)
        if systemd.live:
            state = systemd.show(k3s_config.UNITS["server"])
            if not state.running:
                raise k3s_join.JoinError("k3s does not run on this server (%s, %s)" % (state.active, state.sub),
                                         "look at 'journalctl -u k3s' there, then run again")
            if not module.check_mode:
                port = int(result["server_url"].rpartition(":")[2])
                password = tokens.parse(result["agent_token"]).password
                # An agent that has to wait is no failure: it goes on asking, and verify waits for all of them.
                k3s_join.wait_until_ready(lambda: k3s_join.answers(port, password), module.params["timeout"])
        module.exit_json(changed=False, **result)
    except (k3s_join.JoinError, tokens.TokenError, service.ServiceError, manifest.ManifestError) as exc:
        reason = k3s_join.unavailable(node_ip, str(exc), getattr(exc, "hint", ""))
        module.exit_json(changed=False, **reason)


if __name__ == "__main__":
    main()
