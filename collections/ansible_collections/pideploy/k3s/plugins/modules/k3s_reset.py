#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_reset
short_description: Take k3s off this node
version_added: 0.1.0
description:
  - Stops k3s, ends its containers, unmounts what they had mounted, deletes their network interfaces and firewall rules,
    and deletes k3s's units, configuration, certificates, tokens, datastore, logs and binary.
  - Volumes of the local-path storage class are kept unless O(delete_data) is set. Nothing that is mounted below k3s's
    folders is ever deleted together with them.
  - What was done to the operating system (name, control groups, swap) stays.
author: The pideploy authors (@pideploy)
options:
  cluster:
    description: The cluster's name. A node of another cluster is refused.
    type: str
    required: true
  delete_data:
    description: Delete the volumes of the local-path storage class as well.
    type: bool
    default: false
  adopt:
    description: Also remove a k3s that pideploy did not install.
    type: bool
    default: false
  data_dir:
    description: k3s's data folder.
    type: path
    default: /var/lib/rancher/k3s
  root:
    description: Folder that stands for the node's file system. Below another than V(/), only files are looked at.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and lists what would be removed.
    support: full
  diff_mode:
    description: Shows what is removed and what stays.
    support: full
"""

EXAMPLES = r"""
- name: Take k3s off the node, keep its volumes
  pideploy.k3s.k3s_reset:
    cluster: red
"""

RETURN = r"""
removed:
  description: What was removed (in check mode, would be), in order.
  type: list
  elements: str
  returned: success
  sample: [stop and disable k3s.service, delete interface cni0, delete /etc/rancher/k3s]
kept:
  description: Folders that stay, volumes and mounts.
  type: list
  elements: str
  returned: success
node:
  description: What M(pideploy.k3s.k3s_forget) needs to know of this host.
  type: dict
  returned: success
  contains:
    name:
      description: The node's name in its cluster. On a host without k3s, the name of the host.
      type: str
      returned: success
    machine_id:
      description: The host's machine ID.
      type: str
      returned: success
hint:
  description: What to do about a failure.
  type: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    k3s_config, k3s_reset, k3s_runtime, manifest)
from ansible_collections.pideploy.k3s.plugins.module_utils.service import ServiceError, Systemd


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "delete_data": {"type": "bool", "default": False},
            "adopt": {"type": "bool", "default": False},
            "data_dir": {"type": "path", "default": k3s_config.DATA_DIR},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    systemd = Systemd(module.run_command, module.params["root"])
    try:
        remains = k3s_reset.Remains(module.params, systemd, module.run_command)
        removed, changed = remains.listing(), remains.changed
        if changed and not module.check_mode:
            remains.remove()
        kept = remains.kept()
        module.exit_json(changed=changed, removed=removed, kept=kept, node=remains.node,
                         diff=k3s_reset.diff(removed, kept))
    except (k3s_reset.ResetError, k3s_runtime.RuntimeLeftover) as exc:
        module.fail_json(msg=str(exc), hint=exc.hint)
    except (ServiceError, manifest.ManifestError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s: %s" % (exc.filename or "a file of k3s", exc.strerror or exc),
                         hint="look at that path on the node, then run again: the reset goes on where it stopped")


if __name__ == "__main__":
    main()
