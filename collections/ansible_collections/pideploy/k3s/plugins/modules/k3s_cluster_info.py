#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_cluster_info
short_description: Prove that a k3s cluster is what it should be
version_added: 0.1.0
description:
  - Runs on a server. Waits until every expected host is a Ready node with its role and version, and until the system
    pods and flannel are up.
  - With O(level=full) it also proves DNS, a volume, traffic between pods of different nodes, and a service, in a
    namespace of its own that it always removes. It uses no image but the busybox of k3s's own local-path provisioner.
  - A check that could not be made is V(not_run) and says why. It is never V(passed).
author: The pideploy authors (@pideploy)
options:
  expected:
    description: The hosts that should be nodes of this cluster.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: The host's name in the inventory.
        type: str
        required: true
      name:
        description: Its node name. Empty means to find the node by O(expected[].address), else by the host's name.
        type: str
        default: ""
      role:
        description: Its role.
        type: str
        choices: [server, agent]
        required: true
      version:
        description: The exact k3s version that it should run. Empty means any.
        type: str
        default: ""
      address:
        description: Its address, used where the node name is not known.
        type: str
        default: ""
      lost:
        description:
          - It failed or was out of reach before, so it is not waited for. It has to be a Ready node all the same.
        type: bool
        default: false
  level:
    description: V(nodes) only reads; V(full) also starts pods.
    type: str
    choices: [nodes, full]
    default: nodes
  timeout:
    description: Seconds to wait for the nodes and system pods; for V(full), as long again for its own pods.
    type: int
    default: 300
  fail:
    description: Fail when a check failed. Otherwise only RV(ok) says so.
    type: bool
    default: true
  k3s_path:
    description: The k3s program.
    type: path
    default: /usr/local/bin/k3s
  data_dir:
    description: k3s's data folder.
    type: path
    default: /var/lib/rancher/k3s
  root:
    description: Folder that stands for the node's file system.
    type: path
    default: /
attributes:
  check_mode:
    description: In check mode the cluster may not exist yet, so every check is V(not_run).
    support: full
  diff_mode:
    description: Changes nothing that stays.
    support: none
"""

EXAMPLES = r"""
- name: Wait until both hosts are nodes
  pideploy.k3s.k3s_cluster_info:
    expected:
      - {host: red, name: red, role: server, version: v1.36.4+k3s1}
      - {host: red01, name: red01, role: agent}

- name: Prove DNS, storage and networking as well
  pideploy.k3s.k3s_cluster_info:
    level: full
    expected:
      - {host: red, name: red, role: server}
"""

RETURN = r"""
ok:
  description: Whether no check failed. Look at RV(checks) for those that were not made.
  type: bool
  returned: always
nodes:
  description: A row for each expected host, then for each other node of the cluster.
  type: list
  elements: dict
  returned: always
  contains:
    host: {description: The host in the inventory; empty for a node that is not in it., type: str, returned: always}
    name: {description: The node's name., type: str, returned: always}
    role: {description: V(server) or V(agent)., type: str, returned: always}
    version: {description: The version it runs., type: str, returned: always}
    wanted_version: {description: The version it should run; empty means any., type: str, returned: always}
    ready: {description: Whether it is Ready., type: bool, returned: always}
    internal_ip: {description: Its address in the cluster., type: str, returned: always}
    os_image: {description: Its operating system., type: str, returned: always}
    kernel: {description: Its kernel., type: str, returned: always}
    arch: {description: Its architecture., type: str, returned: always}
    age_s: {description: Seconds since it joined., type: int, returned: always}
    schedulable: {description: Whether it is not cordoned., type: bool, returned: always}
    reason: {description: What is wrong with it; empty when nothing is., type: str, returned: always}
checks:
  description: The checks in the order they were made.
  type: list
  elements: dict
  returned: always
  contains:
    id: {description: "One of nodes, system_pods, flannel, dns, pvc, pod_to_pod, service.", type: str, returned: always}
    title: {description: What the check proves., type: str, returned: always}
    status: {description: "V(passed), V(failed) or V(not_run).", type: str, returned: always}
    message: {description: "What was found, or why the check was not made.", type: str, returned: always}
    evidence: {description: Events and log lines that explain it., type: list, elements: str, returned: always}
    duration_s: {description: Seconds it took; 0 when it was not made., type: float, returned: always}
pods_possible:
  description: Whether any node takes pods.
  type: bool
  returned: always
unready_hosts:
  description: The expected hosts that are missing, not Ready, or not what they should be.
  type: list
  elements: str
  returned: always
"""

import signal

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import cluster, cluster_checks, kubectl

HOST_OPTIONS = {
    "host": {"type": "str", "required": True},
    "name": {"type": "str", "default": ""},
    "role": {"type": "str", "choices": ["server", "agent"], "required": True},
    "version": {"type": "str", "default": ""},
    "address": {"type": "str", "default": ""},
    "lost": {"type": "bool", "default": False},
}


class Interrupted(BaseException):
    """The run was told to stop: leave by way of the clean-up."""


def stop(number, frame):
    raise Interrupted("stopped by signal %d before the proof was complete" % number)


def main():
    module = AnsibleModule(
        argument_spec={
            "expected": {"type": "list", "elements": "dict", "required": True, "options": HOST_OPTIONS},
            "level": {"type": "str", "choices": ["nodes", "full"], "default": "nodes"},
            "timeout": {"type": "int", "default": 300},
            "fail": {"type": "bool", "default": True},
            "k3s_path": {"type": "path", "default": "/usr/local/bin/k3s"},
            "data_dir": {"type": "path", "default": "/var/lib/rancher/k3s"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    options = module.params
    expected = [cluster.Expected(**item) for item in options["expected"]]
    client = kubectl.Kubectl(options["k3s_path"], options["root"], options["data_dir"])
    verifier = cluster.Verifier(client, expected, options["timeout"])
    full = options["level"] == "full"
    if module.check_mode:
        for check in ("nodes", "system_pods", "flannel") + (cluster_checks.IDS if full else ()):
            verifier.add(check, cluster.NOT_RUN, "check mode: nothing was deployed that could be proved")
        module.exit_json(changed=False, **verifier.result())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        verifier.run()
        if full:
            cluster_checks.FullChecks(verifier).run()
    except Interrupted as exc:
        module.fail_json(msg=str(exc))
    result = verifier.result()
    if options["fail"] and not result["ok"]:
        module.fail_json(msg=cluster.summary(result["checks"]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
