#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_node
short_description: Configure k3s on this node and start it
version_added: 0.1.0
description:
  - Writes C(config.yaml), the token files, the systemd unit and its drop-in, and starts k3s.
  - Restarts k3s only when the binary, the unit, the drop-in, the configuration or the token is not what the running
    service was started with.
  - When k3s refuses a new configuration on a node where it ran before, the former files are put back and k3s is
    started with them again.
author: The pideploy authors (@pideploy)
options:
  role:
    description: What the node is.
    type: str
    choices: [server, agent]
    required: true
  cluster:
    description: The cluster's name. A node of another cluster is refused.
    type: str
    required: true
  node_name:
    description: The node's name in the cluster, noted in the node's manifest. Empty means the machine's hostname.
    type: str
    default: ""
  config:
    description:
      - Text of C(/etc/rancher/k3s/config.yaml) without secrets, one C(key) and JSON value a line.
    type: str
    required: true
  secret_config:
    description: Further keys of C(config.yaml) whose values are secret, such as V(datastore-endpoint).
    type: dict
    default: {}
  unit:
    description: Text of the systemd unit.
    type: str
    required: true
  dropin:
    description: Text of the unit's drop-in with the user's own flags. Empty means that there is none.
    type: str
    default: ""
  token:
    description:
      - For a server the password of a new cluster; empty means the one that is there, or a new one.
      - For an agent the join token as M(pideploy.k3s.k3s_join_info) returns it.
    type: str
    default: ""
  wait:
    description:
      - V(token) returns when the server's token is there and its API answers C(/cacerts).
      - V(none) returns when systemd has accepted the start. A node that ran before and is restarted is waited for all
        the same, because otherwise nobody could put its former configuration back.
    type: str
    choices: [token, none]
    default: none
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 300
  version:
    description: The exact version of the binary, noted in the node's manifest.
    type: str
    default: ""
  sha256:
    description: The binary's checksum. Needed only in check mode before the binary is there.
    type: str
    default: ""
  adopt:
    description: Take over a k3s that pideploy did not install.
    type: bool
    default: false
  data_dir:
    description: k3s's data folder.
    type: path
    default: /var/lib/rancher/k3s
  root:
    description: Folder that stands for the node's file system. Below another than V(/), systemd is not called.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and predicts what would be written, started and restarted.
    support: full
  diff_mode:
    description: Shows the files' differences. Secrets are not in it.
    support: full
"""

EXAMPLES = r"""
- name: Start the first server
  pideploy.k3s.k3s_node:
    role: server
    cluster: red
    node_name: red
    config: "{{ lookup('ansible.builtin.template', 'config.yaml.j2') }}"
    unit: "{{ lookup('ansible.builtin.template', 'k3s.service.j2') }}"
    version: v1.36.4+k3s1
    wait: token
"""

RETURN = r"""
service:
  description: The systemd unit.
  type: str
  returned: always
started:
  description: Whether k3s was started (in check mode, would be).
  type: bool
  returned: always
restarted:
  description: Whether k3s was restarted (in check mode, would be).
  type: bool
  returned: always
actions:
  description: What was done, or would be done, in order.
  type: list
  elements: str
  returned: always
  sample: [write /etc/rancher/k3s/config.yaml, reload, restart]
node_ip:
  description: The node's address from its configuration.
  type: str
  returned: always
token_source:
  description: Where the server's token is from, V(given), V(kept) or V(generated).
  type: str
  returned: for servers
hint:
  description: What to do about a failure.
  type: str
  returned: when it is known
undone:
  description: Whether the former configuration was put back.
  type: bool
  returned: when the start failed
journal:
  description: The journal's last lines since the start.
  type: list
  elements: str
  returned: when the start failed
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config, manifest, tokens
from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_start import Node, StartError
from ansible_collections.pideploy.k3s.plugins.module_utils.service import ServiceError, Systemd


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "choices": ["server", "agent"], "required": True},
            "cluster": {"type": "str", "required": True},
            "node_name": {"type": "str", "default": ""},
            "config": {"type": "str", "required": True},
            "secret_config": {"type": "dict", "default": {}, "no_log": True},
            "unit": {"type": "str", "required": True},
            "dropin": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
            "wait": {"type": "str", "choices": ["token", "none"], "default": "none"},
            "timeout": {"type": "int", "default": 300},
            "version": {"type": "str", "default": ""},
            "sha256": {"type": "str", "default": ""},
            "adopt": {"type": "bool", "default": False},
            "data_dir": {"type": "path", "default": k3s_config.DATA_DIR},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    systemd = Systemd(module.run_command, module.params["root"])
    try:
        node = Node(module.params, systemd)
        # Whatever else goes wrong, a generated token is in no result.
        module.no_log_values.update(node.secrets)
        result = node.result()
        if not module.check_mode:
            node.apply()
        module.exit_json(**result)
    except StartError as exc:
        module.fail_json(msg=str(exc), hint=exc.hint, service=k3s_config.UNITS[module.params["role"]],
                         undone=exc.undone, journal=exc.journal, changed=exc.changed)
    except (k3s_config.ConfigError, tokens.TokenError) as exc:
        module.fail_json(msg=str(exc), hint=exc.hint)
    except (ServiceError, manifest.ManifestError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or "a file of k3s", exc.strerror or exc))


if __name__ == "__main__":
    main()
